// Passwords in the connection strings of databases: "postgresql://im:PASSWORD@host/im",
// "host=db password=PASSWORD". They come from files or the environment, and are never shown.
#pragma once

#include <string>
#include <string_view>

namespace im {

bool HoldsPassword(std::string_view text);

// The text with *** in place of each of them. Also of texts that only quote such a string, or a
// broken one.
std::string WithoutPasswords(std::string_view text);

// The first word of a command line that holds a password, up to it; empty: there is none. Everybody
// on the machine can read command lines.
std::string FindPassword(int argc, const char* const* argv);

// What to tell the person then.
std::string PasswordAdvice(const std::string& word);

}  // namespace im
