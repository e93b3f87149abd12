#include "bench/awake.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace im::bench {
namespace {

TEST(AwakeCoresTest, AsksForNoLatencyAtAll) {
  const std::string path = ::testing::TempDir() + "/cpu_dma_latency";
  std::ofstream(path).close();
  const auto awake = AwakeCores::Keep(path.c_str());
  ASSERT_TRUE(awake.ok()) << awake.status();
  std::ifstream file(path, std::ios::binary);
  const std::string asked{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  int32_t micros = -1;
  ASSERT_EQ(asked.size(), sizeof micros);
  std::memcpy(&micros, asked.data(), sizeof micros);
  EXPECT_EQ(micros, 0);
}

TEST(AwakeCoresTest, SaysWhyItCannot) {
  const auto awake = AwakeCores::Keep("/nowhere/cpu_dma_latency");
  EXPECT_EQ(awake.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(awake.status().message(),
            "cores cannot be kept awake: /nowhere/cpu_dma_latency: No such file or directory");
}

}  // namespace
}  // namespace im::bench
