#include "imctl/line_editor.h"

#include <algorithm>

#include "imctl/escape.h"

namespace im::imctl {
namespace {

constexpr size_t kHistory = 200;

bool IsSpace(const std::string& c) { return c == " "; }

}  // namespace

std::string LineEditor::text() const {
  std::string text;
  for (const std::string& c : line_) text += c;
  return text;
}

std::vector<LineEditor::Event> LineEditor::Feed(std::string_view bytes) {
  partial_ += bytes;
  std::vector<Event> events;
  std::string_view input = partial_;
  while (!input.empty()) {
    const unsigned char first = static_cast<unsigned char>(input[0]);
    if (first == 0x1b) {
      size_t length = 0;
      if (!Escape(input, &length, &events)) break;
      input.remove_prefix(length);
    } else if (first < 0x20 || first == 0x7f) {
      Control(first, &events);
      input.remove_prefix(1);
    } else {
      const auto c = FirstCharacter(input);
      const size_t wanted = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
      if (c.value < 0 && input.size() < wanted) break;
      if (c.value >= 0) Character(std::string(input.substr(0, c.length)), &events);
      input.remove_prefix(c.length);
    }
  }
  partial_ = std::string(input);
  return events;
}

void LineEditor::Character(const std::string& utf8, std::vector<Event>* events) {
  // What would harm others' terminals is not typed by accident either.
  if (imctl::Escape(utf8) != utf8) return;
  line_.insert(line_.begin() + static_cast<ptrdiff_t>(cursor_), utf8);
  ++cursor_;
  events->push_back({Key::kEdited, ""});
}

void LineEditor::Erase(size_t from, size_t to, std::vector<Event>* events) {
  if (from >= to) return;
  line_.erase(line_.begin() + static_cast<ptrdiff_t>(from),
              line_.begin() + static_cast<ptrdiff_t>(to));
  cursor_ = from;
  events->push_back({Key::kEdited, ""});
}

size_t LineEditor::WordLeft() const {
  size_t at = cursor_;
  while (at > 0 && IsSpace(line_[at - 1])) --at;
  while (at > 0 && !IsSpace(line_[at - 1])) --at;
  return at;
}

size_t LineEditor::WordRight() const {
  size_t at = cursor_;
  while (at < line_.size() && IsSpace(line_[at])) ++at;
  while (at < line_.size() && !IsSpace(line_[at])) ++at;
  return at;
}

void LineEditor::Browse(int direction, std::vector<Event>* events) {
  if (direction < 0 ? place_ == 0 : place_ == history_.size()) return;
  if (place_ == history_.size()) draft_ = line_;
  place_ = direction < 0 ? place_ - 1 : place_ + 1;
  line_ = place_ == history_.size() ? draft_ : history_[place_];
  cursor_ = line_.size();
  events->push_back({Key::kEdited, ""});
}

void LineEditor::Control(unsigned char c, std::vector<Event>* events) {
  const auto move = [&](size_t to) {
    cursor_ = to;
    events->push_back({Key::kMoved, ""});
  };
  switch (c) {
    case 1:  // Ctrl-A
      return move(0);
    case 2:  // Ctrl-B
      return move(cursor_ > 0 ? cursor_ - 1 : 0);
    case 3:
      events->push_back({Key::kInterrupt, ""});
      return;
    case 4:  // Ctrl-D
      if (line_.empty()) {
        events->push_back({Key::kEnd, ""});
        return;
      }
      return Erase(cursor_, std::min(cursor_ + 1, line_.size()), events);
    case 5:  // Ctrl-E
      return move(line_.size());
    case 6:  // Ctrl-F
      return move(std::min(cursor_ + 1, line_.size()));
    case 8:
    case 0x7f:
      return Erase(cursor_ > 0 ? cursor_ - 1 : 0, cursor_, events);
    case 11:  // Ctrl-K
      return Erase(cursor_, line_.size(), events);
    case 12:
      events->push_back({Key::kRedraw, ""});
      return;
    case 10:
    case 13: {
      std::string line = text();
      if (!line_.empty() && (history_.empty() || history_.back() != line_)) {
        history_.push_back(line_);
        if (history_.size() > kHistory) history_.erase(history_.begin());
      }
      place_ = history_.size();
      line_.clear();
      cursor_ = 0;
      events->push_back({Key::kLine, std::move(line)});
      return;
    }
    case 14:  // Ctrl-N
      return Browse(1, events);
    case 16:  // Ctrl-P
      return Browse(-1, events);
    case 21:  // Ctrl-U
      return Erase(0, cursor_, events);
    case 23:  // Ctrl-W
      return Erase(WordLeft(), cursor_, events);
    default:
      return;
  }
}

bool LineEditor::Escape(std::string_view input, size_t* length, std::vector<Event>* events) {
  const auto move = [&](size_t to) {
    cursor_ = to;
    events->push_back({Key::kMoved, ""});
  };
  if (input.size() < 2) return false;
  if (input[1] != '[' && input[1] != 'O') {
    // Alt and a key.
    *length = 2;
    if (input[1] == 'b') move(WordLeft());
    if (input[1] == 'f') move(WordRight());
    if (input[1] == 'd') Erase(cursor_, WordRight(), events);
    if (input[1] == 0x7f) Erase(WordLeft(), cursor_, events);
    return true;
  }
  size_t end = 2;
  while (end < input.size() && (input[end] < 0x40 || input[end] > 0x7e)) ++end;
  if (end == input.size()) return input.size() > 32 ? (*length = input.size(), true) : false;
  *length = end + 1;
  const std::string_view parameters = input.substr(2, end - 2);
  const bool word = parameters == "1;5" || parameters == "1;3";
  switch (input[end]) {
    case 'A':
      Browse(-1, events);
      break;
    case 'B':
      Browse(1, events);
      break;
    case 'C':
      move(word ? WordRight() : std::min(cursor_ + 1, line_.size()));
      break;
    case 'D':
      move(word ? WordLeft() : (cursor_ > 0 ? cursor_ - 1 : 0));
      break;
    case 'H':
      move(0);
      break;
    case 'F':
      move(line_.size());
      break;
    case '~':
      if (parameters == "1" || parameters == "7") move(0);
      if (parameters == "4" || parameters == "8") move(line_.size());
      if (parameters == "3") Erase(cursor_, std::min(cursor_ + 1, line_.size()), events);
      break;
    default:
      break;
  }
  return true;
}

LineEditor::View LineEditor::Show(int width) const {
  // A column stays free for the cursor behind the last character.
  const int room = std::max(width - 1, 1);
  size_t from = cursor_;
  int columns = 0;
  while (from > 0) {
    const int next = DisplayWidth(line_[from - 1]);
    if (columns + next > room) break;
    columns += next;
    --from;
  }
  View view{"", columns};
  int used = 0;
  for (size_t i = from; i < line_.size(); ++i) {
    used += DisplayWidth(line_[i]);
    if (used > room) break;
    view.text += line_[i];
  }
  return view;
}

}  // namespace im::imctl
