// What is said of a command line that was not understood.
#pragma once

#include <CLI/CLI.hpp>

namespace im {

// Prints help or version if that was asked for and returns 0; else says what is wrong and
// returns 2.
int ReportUsage(const CLI::App& app, const CLI::ParseError& error);

}  // namespace im
