#include "services/chat/history.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>

namespace im::chat {

using google::protobuf::util::TimeUtil;

std::vector<SeqRange> VisibleRanges(const std::vector<Stay>& stays, int64_t last_seq) {
  std::vector<SeqRange> ranges;
  for (const Stay& stay : stays) {
    const SeqRange range{stay.first_seq, std::min(stay.end_seq.value_or(last_seq), last_seq)};
    if (range.size() > 0) ranges.push_back(range);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const SeqRange& a, const SeqRange& b) { return a.from < b.from; });
  std::vector<SeqRange> merged;
  for (const SeqRange& range : ranges) {
    if (merged.empty() || range.from > merged.back().to + 1) {
      merged.push_back(range);
    } else {
      merged.back().to = std::max(merged.back().to, range.to);
    }
  }
  return merged;
}

std::vector<SeqRange> Clip(const std::vector<SeqRange>& ranges, int64_t from, int64_t to) {
  std::vector<SeqRange> clipped;
  for (const SeqRange& range : ranges) {
    const SeqRange part{std::max(range.from, from), std::min(range.to, to)};
    if (part.from <= part.to) clipped.push_back(part);
  }
  return clipped;
}

int64_t CountEntries(const std::vector<SeqRange>& ranges) {
  int64_t count = 0;
  for (const SeqRange& range : ranges) count += range.size();
  return count;
}

std::vector<SeqRange> Oldest(const std::vector<SeqRange>& ranges, int64_t count) {
  std::vector<SeqRange> oldest;
  for (auto range = ranges.begin(); range != ranges.end() && count > 0; ++range) {
    oldest.push_back({range->from, range->from + std::min(range->size(), count) - 1});
    count -= oldest.back().size();
  }
  return oldest;
}

std::vector<SeqRange> Newest(const std::vector<SeqRange>& ranges, int64_t count) {
  std::vector<SeqRange> newest;
  for (auto range = ranges.rbegin(); range != ranges.rend() && count > 0; ++range) {
    newest.push_back({range->to - std::min(range->size(), count) + 1, range->to});
    count -= newest.back().size();
  }
  std::reverse(newest.begin(), newest.end());
  return newest;
}

v1::Watermark ToProto(const Watermark& watermark) {
  v1::Watermark proto;
  proto.set_user_id(watermark.user_id);
  proto.set_read_seq(watermark.read_seq);
  proto.set_delivered_seq(watermark.delivered_seq);
  return proto;
}

v1::Conversation ToProto(const ConversationView& view) {
  v1::Conversation proto;
  proto.set_conversation_id(view.id);
  proto.set_kind(view.kind);
  proto.set_title(view.title);
  proto.set_peer_user_id(view.peer);
  proto.set_last_seq(view.last_seq);
  for (const Stay& stay : view.stays) {
    v1::Stay* const added = proto.add_stays();
    added->set_join_seq(stay.join_seq);
    added->set_first_seq(stay.first_seq);
    if (stay.end_seq.has_value()) added->set_end_seq(*stay.end_seq);
  }
  proto.set_read_seq(view.read_seq);
  proto.set_unread_count(view.unread);
  proto.set_member_count(view.member_count);
  if (view.peer_watermark.has_value()) {
    *proto.mutable_peer_watermark() = ToProto(*view.peer_watermark);
  }
  *proto.mutable_last_at() = TimeUtil::MicrosecondsToTimestamp(view.last_at);
  if (view.last_entry.has_value()) *proto.mutable_last_entry() = ToProto(*view.last_entry);
  proto.set_role(view.role);
  return proto;
}

}  // namespace im::chat
