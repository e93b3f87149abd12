#include "tests/faults/island.h"

#include <unistd.h>

#include <stdexcept>

#include "tests/support/stack.h"

namespace im::faults {
namespace {

void Ip(const std::string& arguments) {
  const testing::Outcome outcome =
      testing::RunProgram({"/bin/sh", "-c", "PATH=$PATH:/sbin:/usr/sbin ip " + arguments});
  if (outcome.status != 0) throw std::runtime_error("ip " + arguments + ": " + outcome.err);
}

std::string NameOf(pid_t process) { return "im" + std::to_string(process); }
std::string FileOf(const std::string& name) { return "/run/netns/" + name; }

void Delete(const std::string& name) {
  // The wire first: with the network it would go some time later, and one of the same name cannot
  // be made until then.
  try {
    Ip("link delete " + name + "a");
  } catch (const std::exception&) {
    // It was not made yet.
  }
  Ip("netns delete " + name);
}

}  // namespace

void Island::DeleteOf(pid_t process) {
  if (access(FileOf(NameOf(process)).c_str(), F_OK) == 0) Delete(NameOf(process));
}

bool Island::CanBe() {
  if (geteuid() != 0) return false;
  try {
    Island island;
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

Island::Island() : name_(NameOf(getpid())) {
  // Two neighbours of four addresses each, in a block that few use.
  const int number = getpid() % (1 << 14);
  const std::string block =
      "10.213." + std::to_string(number >> 6) + "." + std::to_string(number % 64 * 4);
  const size_t last = block.rfind('.') + 1;
  const int base = number % 64 * 4;
  shore_ = block.substr(0, last) + std::to_string(base + 1);
  address_ = block.substr(0, last) + std::to_string(base + 2);
  Ip("netns add " + name_);
  try {
    Ip("link add " + name_ + "a type veth peer name " + name_ + "b netns " + name_);
    Ip("address add " + shore_ + "/30 dev " + name_ + "a");
    Ip("link set " + name_ + "a up");
    Ip("-n " + name_ + " address add " + address_ + "/30 dev " + name_ + "b");
    Ip("-n " + name_ + " link set " + name_ + "b up");
    Ip("-n " + name_ + " link set lo up");
  } catch (const std::exception&) {
    Delete(name_);
    throw;
  }
}

Island::~Island() {
  try {
    Delete(name_);
  } catch (const std::exception&) {
    // It is gone already.
  }
}

std::string Island::network() const { return FileOf(name_); }

// The other end of the wire: this side's addresses and routes stay.
void Island::CutOff() { Ip("-n " + name_ + " link set " + name_ + "b down"); }
void Island::Join() { Ip("-n " + name_ + " link set " + name_ + "b up"); }

}  // namespace im::faults
