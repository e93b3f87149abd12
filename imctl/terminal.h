// A terminal on which lines scroll above a few that stay at the bottom.
#pragma once

#include <termios.h>

#include <string>
#include <vector>

namespace im::imctl {

// Puts standard input into raw mode until destroyed. For one thread.
class Terminal {
 public:
  // Whether standard input and output are a terminal that understands the usual sequences.
  static bool IsUsable();

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int width() const { return width_; }
  // After SIGWINCH.
  void Resized();

  // Text for good, above the bottom; it must be escaped and may hold line breaks.
  void Print(const std::string& text);
  // What stays below: lines, cut to the width, the last of which holds the cursor.
  void SetBottom(std::vector<std::string> lines, int cursor_column);
  void Bell();
  // Leaves the cursor on a fresh line below everything printed.
  void ClearBottom();

 private:
  void Redraw(const std::string& above);
  std::string Erase();
  std::string Draw();
  static void Write(const std::string& text);

  termios before_{};
  int width_ = 0;
  std::vector<std::string> bottom_;
  int cursor_column_ = 0;
  // Lines of the bottom that are on the screen.
  int drawn_ = 0;
};

// Columns of standard output; 0 if it is no terminal.
int ScreenWidth();

// The beginning of an escaped text, as much as fits.
std::string CutToWidth(const std::string& text, int width);

}  // namespace im::imctl
