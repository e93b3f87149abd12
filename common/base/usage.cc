#include "common/base/usage.h"

#include <iostream>
#include <string>

namespace im {

int ReportUsage(const CLI::App& app, const CLI::ParseError& error) {
  // CLI11 misses what is required before it minds what nobody knows, such as a mistyped command.
  const auto unknown = app.remaining(true);
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr || unknown.empty()) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::string command = app.get_name();
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  std::cerr << command << ": does not know " << unknown.front()
            << "\nRun with --help for more information.\n";
  return 2;
}

}  // namespace im
