#include "bench/delivery_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace im::bench {
namespace {

constexpr int64_t kAnn = 1, kBob = 2, kCarl = 3;

KnownEntry Said(int64_t seq, int64_t sender, const std::string& text) {
  return {seq, sender, "request " + std::to_string(seq), true, text};
}
KnownEntry Changed(int64_t seq, int64_t sender) {
  return {seq, sender, "request " + std::to_string(seq), false, "members"};
}

// 1: ann makes the group; 2: she adds bob; 3: ann says a; 4: bob says b; 5: bob leaves; 6: ann says
// c; 7: bob is back; 8: ann says d.
class DeliveryCheckTest : public ::testing::Test {
 protected:
  DeliveryCheckTest() {
    truth_ = {Changed(1, kAnn), Changed(2, kAnn),   Said(3, kAnn, "a"), Said(4, kBob, "b"),
              Changed(5, kBob), Said(6, kAnn, "c"), Changed(7, kBob),   Said(8, kAnn, "d")};
    for (const KnownEntry& entry : truth_) check_.Stored(entry);
    for (const KnownEntry& entry : truth_) {
      if (entry.seq != 1 && entry.seq != 6) bobs_.push_back(entry);
    }
  }

  Verdict Ann(const std::vector<KnownEntry>& seen) const {
    return check_.Judge(kAnn, {{1, INT64_MAX}}, seen);
  }
  Verdict Bob(const std::vector<KnownEntry>& seen) const {
    return check_.Judge(kBob, {{2, 5}, {7, INT64_MAX}}, seen);
  }

  DeliveryCheck check_;
  std::vector<KnownEntry> truth_;
  std::vector<KnownEntry> bobs_;
};

TEST_F(DeliveryCheckTest, AllIsWell) {
  EXPECT_TRUE(check_.own().Clean());
  EXPECT_EQ(check_.last_seq(), 8);
  const Verdict ann = Ann(truth_);
  EXPECT_TRUE(ann.Clean());
  EXPECT_EQ(ann.expected, 1);
  EXPECT_EQ(ann.arrived, 1);
  const Verdict bob = Bob(bobs_);
  EXPECT_TRUE(bob.Clean());
  EXPECT_EQ(bob.expected, 2);
  EXPECT_EQ(bob.arrived, 2);
  EXPECT_EQ(bob.repeats, 0);
}

TEST_F(DeliveryCheckTest, WhoWasNeverAMemberExpectsNothing) {
  const Verdict verdict = check_.Judge(kCarl, {}, {});
  EXPECT_TRUE(verdict.Clean());
  EXPECT_EQ(verdict.expected, 0);
}

TEST_F(DeliveryCheckTest, AMissingMessageIsLost) {
  bobs_.pop_back();
  const Verdict verdict = Bob(bobs_);
  EXPECT_EQ(verdict.lost, 1);
  EXPECT_EQ(verdict.expected, 2);
  EXPECT_EQ(verdict.arrived, 1);
  EXPECT_FALSE(verdict.Clean());
}

TEST_F(DeliveryCheckTest, AMissingChangeOfMembersIsLost) {
  truth_.erase(truth_.begin() + 4);
  const Verdict verdict = Ann(truth_);
  EXPECT_EQ(verdict.lost, 1);
  EXPECT_EQ(verdict.arrived, verdict.expected);
}

TEST_F(DeliveryCheckTest, OnesOwnMissingMessageIsLost) {
  truth_.erase(truth_.begin() + 2);
  EXPECT_EQ(Ann(truth_).lost, 1);
}

TEST_F(DeliveryCheckTest, SeeingNothingLosesEverything) { EXPECT_EQ(Bob({}).lost, 6); }

TEST_F(DeliveryCheckTest, TheSameAgainIsARepeatOnly) {
  bobs_.push_back(bobs_.front());
  const Verdict verdict = Bob(bobs_);
  EXPECT_TRUE(verdict.Clean());
  EXPECT_EQ(verdict.repeats, 1);
}

TEST_F(DeliveryCheckTest, OneSeqWithTwoContentsIsADuplicate) {
  KnownEntry other = bobs_.back();
  other.content = "e";
  bobs_.push_back(other);
  EXPECT_EQ(Bob(bobs_).duplicated, 1);
  EXPECT_FALSE(Bob(bobs_).Clean());
}

TEST_F(DeliveryCheckTest, OneSeqWithTwoRequestsIsADuplicate) {
  KnownEntry other = bobs_.back();
  other.request_id = "another";
  bobs_.push_back(other);
  EXPECT_EQ(Bob(bobs_).duplicated, 1);
}

TEST_F(DeliveryCheckTest, OneRequestUnderTwoSeqsIsADuplicate) {
  KnownEntry again = truth_.back();
  again.seq = 9;
  truth_.push_back(again);
  EXPECT_GE(Ann(truth_).duplicated, 1);
  EXPECT_FALSE(Ann(truth_).Clean());
}

TEST_F(DeliveryCheckTest, TheSecondSeqOfARequestAloneIsADuplicate) {
  truth_.back().seq = 9;
  const Verdict verdict = Ann(truth_);
  EXPECT_EQ(verdict.duplicated, 1);
  EXPECT_EQ(verdict.lost, 1);
}

TEST_F(DeliveryCheckTest, TheSameRequestIdOfTwoSendersIsNoDuplicate) {
  DeliveryCheck check;
  KnownEntry one = Said(1, kAnn, "a"), other = Said(2, kBob, "b");
  other.request_id = one.request_id;
  check.Stored(one);
  check.Stored(other);
  EXPECT_TRUE(check.own().Clean());
  EXPECT_TRUE(check.Judge(kCarl, {{1, INT64_MAX}}, {one, other}).Clean());
}

TEST_F(DeliveryCheckTest, AnOlderEntryAfterANewerOneIsReordered) {
  std::swap(bobs_[1], bobs_[2]);
  const Verdict verdict = Bob(bobs_);
  EXPECT_EQ(verdict.reordered, 1);
  EXPECT_EQ(verdict.lost, 0);
  EXPECT_FALSE(verdict.Clean());
}

TEST_F(DeliveryCheckTest, OtherBytesAreCorruption) {
  bobs_.back().content = "D";
  EXPECT_EQ(Bob(bobs_).corrupted, 1);
  EXPECT_FALSE(Bob(bobs_).Clean());
}

TEST_F(DeliveryCheckTest, AnotherSenderIsCorruption) {
  bobs_.back().sender_user_id = kCarl;
  EXPECT_EQ(Bob(bobs_).corrupted, 1);
}

TEST_F(DeliveryCheckTest, AnotherKindIsCorruption) {
  bobs_.back().is_message = false;
  EXPECT_EQ(Bob(bobs_).corrupted, 1);
}

TEST_F(DeliveryCheckTest, WhatNobodySentIsCorruption) {
  truth_.push_back(Said(9, kCarl, "who?"));
  EXPECT_EQ(Ann(truth_).corrupted, 1);
}

TEST_F(DeliveryCheckTest, SeenBetweenStaysIsALeak) {
  EXPECT_EQ(Bob(truth_).leaked, 2);  // before the first stay, and between the two
  EXPECT_FALSE(Bob(truth_).Clean());
}

TEST_F(DeliveryCheckTest, AnAcknowledgedOrderOtherThanTheOneSentIsReordered) {
  DeliveryCheck check;
  check.Stored(Said(2, kAnn, "first"));
  check.Stored(Said(1, kAnn, "second"));
  EXPECT_EQ(check.own().reordered, 1);
}

TEST_F(DeliveryCheckTest, OneRequestAcknowledgedTwiceIsADuplicate) {
  DeliveryCheck check;
  KnownEntry entry = Said(1, kAnn, "a");
  check.Stored(entry);
  entry.seq = 2;
  check.Stored(entry);
  EXPECT_EQ(check.own().duplicated, 1);
}

TEST_F(DeliveryCheckTest, TwoRequestsAcknowledgedWithOneSeqLoseOne) {
  DeliveryCheck check;
  KnownEntry entry = Said(1, kAnn, "a");
  check.Stored(entry);
  entry.request_id = "another";
  check.Stored(entry);
  EXPECT_EQ(check.own().lost, 1);
}

TEST_F(DeliveryCheckTest, AMessageThatWasNeverAcknowledgedIsLost) {
  check_.NotStored();
  EXPECT_EQ(check_.own().lost, 1);
  EXPECT_FALSE(check_.own().Clean());
}

TEST_F(DeliveryCheckTest, WhatMayBeStoredMayBeSeenBehindTheRest) {
  truth_.push_back(Said(9, kBob, "perhaps"));
  EXPECT_EQ(Ann(truth_).corrupted, 1);
  check_.MayBeStored(kBob, "perhaps");
  EXPECT_TRUE(Ann(truth_).Clean());
  truth_.back().content = "another";
  EXPECT_EQ(Ann(truth_).corrupted, 1);
}

TEST_F(DeliveryCheckTest, VerdictsAddUp) {
  Verdict sum = Bob(bobs_);
  sum.Add(Ann(truth_));
  EXPECT_EQ(sum.expected, 3);
  EXPECT_EQ(sum.arrived, 3);
  sum.Add(Bob({}));
  EXPECT_EQ(sum.lost, 6);
  EXPECT_FALSE(sum.Clean());
}

}  // namespace
}  // namespace im::bench
