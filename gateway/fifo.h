// A queue that holds next to nothing while it is empty: a std::deque keeps half a kilobyte, and
// each idle client would have several.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace im::gateway {

// Not thread-safe.
template <typename T>
class Fifo {
 public:
  Fifo() = default;
  // The other is empty then.
  Fifo(Fifo&& other) noexcept
      : items_(std::exchange(other.items_, {})), first_(std::exchange(other.first_, 0)) {}
  Fifo& operator=(Fifo&& other) noexcept {
    items_ = std::exchange(other.items_, std::vector<T>());
    first_ = std::exchange(other.first_, 0);
    return *this;
  }
  bool empty() const { return first_ == items_.size(); }
  size_t size() const { return items_.size() - first_; }
  T& front() { return items_[first_]; }
  // Items it has memory for.
  size_t capacity() const { return items_.capacity(); }
  // The item that is so many behind the front.
  T& operator[](size_t place) { return items_[first_ + place]; }
  auto begin() { return items_.begin() + static_cast<std::ptrdiff_t>(first_); }
  auto end() { return items_.end(); }

  void push_back(T item) { items_.push_back(std::move(item)); }
  void pop_front() {
    // Frees what it held.
    items_[first_++] = T();
    if (empty()) {
      clear();
    } else if (first_ >= kSmall && first_ > items_.size() / 2) {
      items_.erase(items_.begin(), begin());
      first_ = 0;
    }
  }
  // Behind the front it costs as much as in a vector.
  void erase(typename std::vector<T>::iterator item) {
    if (item == begin()) return pop_front();
    items_.erase(item);
  }
  void clear() {
    first_ = 0;
    // Room for few stays, so that what comes and goes one by one is not allocated each time.
    if (items_.capacity() > kSmall) {
      items_ = std::vector<T>();
    } else {
      items_.clear();
    }
  }

 private:
  static constexpr size_t kSmall = 4;
  std::vector<T> items_;
  size_t first_ = 0;
};

}  // namespace im::gateway
