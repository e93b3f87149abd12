// Groups: what the entries say about members and titles against the stays and titles there are.
#pragma once

#include <cstdint>
#include <functional>
#include <pqxx/pqxx>

#include "tools/check/check.h"

namespace im::check {

// Of the conversations above `after` up to `end`. Throws pqxx exceptions.
void CheckMembership(pqxx::transaction_base* transaction, int64_t after, int64_t end,
                     const std::function<void(const Finding&)>& on_finding);

}  // namespace im::check
