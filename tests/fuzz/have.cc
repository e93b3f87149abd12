// What a device says it has, and what it therefore lacks: all of that, once, and nothing else.
#include "services/chat/have.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/fuzz/check.h"

namespace im::chat {
namespace {

using fuzz::Check;

void CheckHave(std::string_view bytes) {
  v1::Have have;
  if (!have.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  std::map<int64_t, int64_t> lowest;
  for (const auto& one : have.conversations()) {
    const auto [found, fresh] = lowest.emplace(one.conversation_id(), one.seq());
    if (!fresh) found->second = std::min(found->second, one.seq());
  }
  const std::vector<HaveConversation> read = ReadHave(have);
  Check(read.size() == lowest.size(), "each conversation counts once");
  auto expected = lowest.begin();
  for (const HaveConversation& one : read) {
    Check(one.id == expected->first, "conversations come in rising id");
    Check(one.seq >= 0 && one.seq < INT64_MAX, "there is a seq after the one it has");
    Check(one.seq == std::clamp<int64_t>(expected->second, 0, INT64_MAX - 1),
          "the lower seq counts");
    ++expected;
  }
}

// Stays as the database may hold them: no seq beyond what a conversation can have. Small, so that
// the entries can be counted one by one.
ConversationView MakeView(fuzz::Input* input) {
  ConversationView view;
  view.last_seq = input->Byte();
  for (int stays = 1 + input->Byte() % 4; stays > 0; --stays) {
    Stay stay;
    stay.join_seq = 1 + input->Byte();
    stay.first_seq = 1 + input->Byte() % stay.join_seq;
    if (const int64_t length = input->Byte(); length % 2 == 0)
      stay.end_seq = stay.join_seq + length;
    view.stays.push_back(stay);
  }
  if (input->Byte() % 4 == 0) view.omitted_end_seq = input->Byte();
  return view;
}

void Add(const std::vector<SeqRange>& ranges, std::set<int64_t>* all) {
  int64_t last = 0;
  for (const SeqRange& range : ranges) {
    Check(range.from <= range.to && range.from > last, "ranges rise and hold something");
    last = range.to;
    for (int64_t seq = range.from; seq <= range.to; ++seq) {
      Check(all->insert(seq).second, "no entry is sent twice");
    }
  }
}

void CheckMissing(fuzz::Input* input) {
  const ConversationView view = MakeView(input);
  // Also far beyond, which only a client that errs or lies has.
  int64_t have = input->Byte();
  if (input->Byte() % 16 == 0) have = std::clamp<int64_t>(input->Signed(), 0, INT64_MAX - 1);
  const int64_t newest = 1 + input->Byte() % 32;
  const int64_t most = newest + input->Byte() % 32;

  std::set<int64_t> visible;
  for (const Stay& stay : view.stays) {
    const int64_t end = std::min(stay.end_seq.value_or(view.last_seq), view.last_seq);
    for (int64_t seq = stay.first_seq; seq <= end; ++seq) {
      if (seq > have) visible.insert(seq);
    }
  }
  const Missing missing = FindMissing(have, view, most, newest);
  std::set<int64_t> entries, gaps, sent;
  Add(missing.entries, &entries);
  Add(missing.gaps, &gaps);
  Check(static_cast<int64_t>(entries.size()) <= std::max(most, newest), "entries are bounded");
  sent = entries;
  sent.insert(gaps.begin(), gaps.end());
  Check(sent.size() == entries.size() + gaps.size(), "no entry is sent and left out");
  Check(std::includes(sent.begin(), sent.end(), visible.begin(), visible.end()),
        "all that it lacks is sent or left out");
  for (const int64_t seq : sent) {
    Check(visible.count(seq) > 0 || (gaps.count(seq) > 0 && seq <= view.omitted_end_seq),
          "nothing else is");
    Check(seq > have, "nor what it has");
  }
  if (!gaps.empty() && !entries.empty()) {
    Check(*gaps.rbegin() < *entries.begin(), "what is left out is older than what is sent");
  }
}

}  // namespace
}  // namespace im::chat

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  im::fuzz::Input input(data, size);
  if (input.Byte() % 2 == 0) {
    im::chat::CheckHave(input.rest());
  } else {
    im::chat::CheckMissing(&input);
  }
  return 0;
}
