// One function per command: adds it to the command line; when it is chosen, it puts its work into
// `run`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "imctl/context.h"

namespace im::imctl {

void AddRegister(CLI::App& app, Run* run);
void AddLogIn(CLI::App& app, Run* run);
void AddLogOut(CLI::App& app, Run* run);
void AddPassword(CLI::App& app, Run* run);
void AddProfile(CLI::App& app, Run* run);
void AddLookup(CLI::App& app, Run* run);
void AddDevices(CLI::App& app, Run* run);
void AddContacts(CLI::App& app, Run* run);
void AddSettings(CLI::App& app, Run* run);
void AddChats(CLI::App& app, Run* run);
void AddSend(CLI::App& app, Run* run);
void AddHistory(CLI::App& app, Run* run);
void AddRead(CLI::App& app, Run* run);
void AddGroup(CLI::App& app, Run* run);
void AddPresence(CLI::App& app, Run* run);
void AddListen(CLI::App& app, Run* run);
void AddChat(CLI::App& app, Run* run);
void AddHealth(CLI::App& app, Run* run);
void AddCompletion(CLI::App& app, Run* run);

// A command with an example under its help.
CLI::App* AddCommand(CLI::App& app, const std::string& name, const std::string& purpose,
                     const std::string& examples);

}  // namespace im::imctl
