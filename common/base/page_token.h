// Pages of lists: the size asked for, and the opaque token that says where the next page begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace im {

// `requested` within its bounds: 0 is `usual`, more than `most` is `most`. INVALID_FIELD when
// negative.
absl::StatusOr<int> PageSize(int32_t requested, int usual, int most);

// `list` names the list and all that chooses what is in it ("contacts:2,4"), so that a token is of
// no use for another. `place` is the key of the page's last row. Not a secret, and not signed: it
// only has to be told from what this server never gave out.
std::string MakePageToken(std::string_view list, const std::vector<int64_t>& place);

// The place in a token; empty for an empty token, which asks for the first page. Fails with
// PAGE_TOKEN_INVALID unless the token was made for this list, with `numbers` numbers.
absl::StatusOr<std::vector<int64_t>> ParsePageToken(std::string_view list, std::string_view token,
                                                    size_t numbers);

}  // namespace im
