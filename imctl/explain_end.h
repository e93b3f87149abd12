// Why a session is over, in words for who runs listen or chat.
#pragma once

#include "absl/status/status.h"

namespace im::imctl {

inline absl::Status ExplainEnd(const absl::Status& why) {
  if (!absl::IsAborted(why)) return why;
  return absl::AbortedError(
      "another imctl of this profile has connected; log in under another --profile to have both");
}

}  // namespace im::imctl
