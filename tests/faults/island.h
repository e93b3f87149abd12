// A network of its own for some processes, joined to this one by a wire that can be pulled.
#pragma once

#include <sys/types.h>

#include <string>

namespace im::faults {

// Root only. Not thread-safe.
class Island {
 public:
  // Whether one can be made here: asks by making one.
  static bool CanBe();
  // Deletes the one of a process that ended without its destructor, if it had one.
  static void DeleteOf(pid_t process);

  // Throws std::runtime_error if it cannot be made here.
  Island();
  // What runs in it goes on without a network.
  ~Island();
  Island(const Island&) = delete;
  Island& operator=(const Island&) = delete;

  // Addresses that are reached from both sides: this side's, and the island's.
  const std::string& shore() const { return shore_; }
  const std::string& address() const { return address_; }
  // The file of its namespace, for setns.
  std::string network() const;

  // Nothing passes, and nobody is told.
  void CutOff();
  void Join();

 private:
  const std::string name_;
  std::string shore_;
  std::string address_;
};

}  // namespace im::faults
