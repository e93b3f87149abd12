#include "imctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "imctl/escape.h"

namespace im::imctl {
namespace {

// Of terminals that do not say.
constexpr int kUsualWidth = 80;

}  // namespace

bool Terminal::IsUsable() {
  const char* kind = std::getenv("TERM");
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind != nullptr && *kind != '\0' &&
         std::strcmp(kind, "dumb") != 0;
}

Terminal::Terminal() {
  tcgetattr(STDIN_FILENO, &before_);
  termios raw = before_;
  raw.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL | INLCR | IGNCR | ISTRIP | BRKINT);
  raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | ISIG | IEXTEN);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  Resized();
}

Terminal::~Terminal() {
  ClearBottom();
  tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

void Terminal::Resized() {
  width_ = ScreenWidth();
  Redraw("");
}

std::string Terminal::Erase() {
  if (drawn_ == 0) return "";
  std::string out = "\r";
  if (drawn_ > 1) absl::StrAppend(&out, "\x1b[", drawn_ - 1, "A");
  drawn_ = 0;
  return out + "\x1b[J";
}

std::string Terminal::Draw() {
  std::string out;
  for (size_t i = 0; i < bottom_.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : "\r\n", CutToWidth(bottom_[i], width_ - 1));
  }
  drawn_ = static_cast<int>(bottom_.size());
  out += "\r";
  if (cursor_column_ > 0) absl::StrAppend(&out, "\x1b[", cursor_column_, "C");
  return out;
}

void Terminal::Print(const std::string& text) { Redraw(text + "\n"); }

void Terminal::Redraw(const std::string& above) {
  std::string out = Erase();
  out += above;
  out += Draw();
  Write(out);
}

void Terminal::SetBottom(std::vector<std::string> lines, int cursor_column) {
  bottom_ = std::move(lines);
  cursor_column_ = cursor_column;
  Redraw("");
}

void Terminal::ClearBottom() {
  bottom_.clear();
  cursor_column_ = 0;
  Write(Erase());
}

void Terminal::Bell() { Write("\a"); }

void Terminal::Write(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    // The terminal is gone; SIGHUP says so as well.
    if (count <= 0) return;
    done += static_cast<size_t>(count);
  }
}

int ScreenWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col > 0 ? size.ws_col : kUsualWidth;
}

std::string CutToWidth(const std::string& text, int width) {
  std::string_view rest = text;
  size_t length = 0;
  int used = 0;
  while (!rest.empty()) {
    const Character c = FirstCharacter(rest);
    used += c.value < 0 ? 1 : CharacterWidth(c.value);
    if (used > width) break;
    length += static_cast<size_t>(c.length);
    rest.remove_prefix(static_cast<size_t>(c.length));
  }
  return text.substr(0, length);
}

}  // namespace im::imctl
