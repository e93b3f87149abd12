// Page tokens: those we made are read back, for their list alone; all else is refused.
#include "common/base/page_token.h"

#include <cctype>

#include "common/base/error.h"
#include "tests/fuzz/check.h"

using im::fuzz::Check;

namespace {

void CheckForeign(std::string_view list, std::string_view token, size_t numbers) {
  const auto place = im::ParsePageToken(list, token, numbers);
  if (!place.ok()) {
    Check(im::ReasonOf(place.status()) == im::Reason::PAGE_TOKEN_INVALID,
          "a refusal has its reason");
    return;
  }
  if (token.empty()) {
    Check(place->empty(), "no token asks for the first page");
    return;
  }
  Check(place->size() == numbers, "a place has as many numbers as its list says");
  // Base64 may be written in several ways, a place only in one.
  const auto again = im::ParsePageToken(list, im::MakePageToken(list, *place), numbers);
  Check(again.ok() && *again == *place, "what is taken is what we would make");
}

void CheckOwn(std::string_view list, const std::vector<int64_t>& place) {
  const std::string token = im::MakePageToken(list, place);
  const auto read = im::ParsePageToken(list, token, place.size());
  Check(read.ok() && *read == place, "a token of ours is read back");
  Check(!im::ParsePageToken(std::string(list) + "x", token, place.size()).ok(),
        "a token is of no use for another list");
  Check(!im::ParsePageToken(list, token, place.size() + 1).ok(), "nor for another key");
  for (const char c : token) {
    Check(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '=',
          "a token can stand in a URL");
  }
}

void CheckSize(int32_t requested, int usual, int most) {
  const auto size = im::PageSize(requested, usual, most);
  Check(size.ok() == (requested >= 0), "negative sizes are refused");
  if (size.ok()) Check(*size >= 1 && *size <= most, "a page has its bounds");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  im::fuzz::Input input(data, size);
  const uint8_t kind = input.Byte();
  const size_t numbers = kind >> 4;
  CheckSize(static_cast<int32_t>(input.Number(4)), 50, 200);
  const std::string_view list = input.Piece();
  if (kind % 2 == 0) {
    CheckForeign(list, input.rest(), numbers);
  } else {
    std::vector<int64_t> place;
    for (size_t i = 0; i < numbers; ++i) place.push_back(input.Signed());
    CheckOwn(list, place);
  }
  return 0;
}
