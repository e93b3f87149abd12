// The rules as SQL. Each statement looks at a range of ids, above $1 up to $2, and returns what is
// broken: the column `rule`, columns that say where, and last `what`.
#pragma once

#include <vector>

#include "common/pg/pool.h"

namespace im::check {

// At most this many findings of a statement for a range, so that a ruin cannot fill the memory.
#define IM_RULE(SQL) "SELECT * FROM (" SQL ") AS found LIMIT 1000"

// Ranges of conversation ids.
const std::vector<pg::Sql>& ConversationRules();
// Ranges of user ids.
const std::vector<pg::Sql>& AccountRules();
// Without a range: of the whole data.
const std::vector<pg::Sql>& WholeRules();

}  // namespace im::check
