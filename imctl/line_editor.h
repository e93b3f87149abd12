// The line that a person types, edited in place. Logic only: bytes in, what to show out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace im::imctl {

class LineEditor {
 public:
  enum class Key {
    // The text changed.
    kEdited,
    // Only the cursor moved.
    kMoved,
    // A line is complete: `line`.
    kLine,
    // Ctrl-D on an empty line.
    kEnd,
    // Ctrl-C.
    kInterrupt,
    // Ctrl-L.
    kRedraw,
  };
  struct Event {
    Key key;
    std::string line;
  };

  // What was read from a terminal in raw mode; may hold parts of characters and keys.
  std::vector<Event> Feed(std::string_view bytes);

  std::string text() const;

  // What fits into `width` columns around the cursor, and the cursor's column in it.
  struct View {
    std::string text;
    int cursor;
  };
  View Show(int width) const;

 private:
  void Character(const std::string& utf8, std::vector<Event>* events);
  void Control(unsigned char c, std::vector<Event>* events);
  // Takes a whole escape sequence from the start of the input; false: it is not whole yet.
  bool Escape(std::string_view input, size_t* length, std::vector<Event>* events);
  void Erase(size_t from, size_t to, std::vector<Event>* events);
  void Browse(int direction, std::vector<Event>* events);
  size_t WordLeft() const;
  size_t WordRight() const;

  // A character each, as UTF-8.
  std::vector<std::string> line_;
  size_t cursor_ = 0;
  // Bytes that are not a whole character or key yet.
  std::string partial_;
  std::vector<std::vector<std::string>> history_;
  size_t place_ = 0;
  // What was being typed when browsing began.
  std::vector<std::string> draft_;
};

}  // namespace im::imctl
