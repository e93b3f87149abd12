// What the network between clients and gateways does.
#include "tests/faults/fault.h"

namespace im::faults {
namespace {

using std::chrono::milliseconds;

// At one door or at all of them.
Fault Bad(const std::string& name, const std::string& what, milliseconds least, milliseconds most,
          const std::function<Weather(Random*)>& weather) {
  return {.name = name,
          .what = what,
          .touches = {"network"},
          .least = least,
          .most = most,
          .begin =
              [weather](SetUp& set_up, Random* random) {
                const Weather chosen = weather(random);
                const auto doors = static_cast<int64_t>(set_up.proxies().size());
                const int64_t door = random->Between(0, doors);
                for (int64_t i = 0; i < doors; ++i) {
                  if (door != doors && door != i) continue;
                  set_up.proxies()[static_cast<size_t>(i)]->SetWeather(chosen);
                }
                return door == doors ? "every door" : "door " + std::to_string(door);
              },
          .heal =
              [](SetUp& set_up) {
                for (const auto& proxy : set_up.proxies()) proxy->SetWeather({});
              }};
}

Fault Cut() {
  return {.name = "cut",
          .what = "all connections of clients are reset at once",
          .touches = {"network"},
          .most = milliseconds(2'000),
          .begin =
              [](SetUp& set_up, Random*) {
                for (const auto& proxy : set_up.proxies()) proxy->CutAll();
                return std::string();
              },
          .heal = [](SetUp&) {}};
}

Fault CutOff() {
  return {.name = "cut-off",
          .what = "the network of the second chat and presence is cut off, but for the database",
          .touches = {"chat", "presence", "gateway", "auth"},
          .least = milliseconds(1'000),
          .most = milliseconds(25'000),
          .begin =
              [](SetUp& set_up, Random*) {
                set_up.island()->CutOff();
                return std::string();
              },
          .heal = [](SetUp& set_up) { set_up.island()->Join(); },
          .obstacle =
              [](SetUp& set_up) {
                return set_up.island() == nullptr ? "there is no network of its own here" : "";
              }};
}

}  // namespace

std::vector<Fault> NetworkFaults() {
  return {
      Cut(),
      Bad("cut-bytes", "connections of clients are reset after a random number of bytes",
          milliseconds(3'000), milliseconds(15'000),
          [](Random* random) {
            return Weather{.cut_within_bytes = static_cast<size_t>(random->Between(500, 50'000))};
          }),
      Bad("half-open", "connections of clients stay open and nothing arrives", milliseconds(2'000),
          milliseconds(15'000), [](Random*) { return Weather{.swallow = true}; }),
      Bad("slow-readers", "clients read a few kilobytes a second", milliseconds(3'000),
          milliseconds(15'000),
          [](Random* random) {
            return Weather{.bytes_per_second = static_cast<size_t>(random->Between(1'000, 8'000))};
          }),
      Bad("delay", "every piece takes long", milliseconds(2'000), milliseconds(10'000),
          [](Random* random) {
            return Weather{.delay = milliseconds(random->Between(50, 1'500))};
          }),
      CutOff(),
  };
}

}  // namespace im::faults
