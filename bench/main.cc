// The load generator.
#include <grpc/support/log.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "absl/synchronization/mutex.h"
#include "bench/fanout.h"
#include "bench/growth.h"
#include "bench/history.h"
#include "bench/login.h"
#include "bench/online.h"
#include "bench/overload.h"
#include "bench/pairs.h"
#include "bench/parts.h"
#include "bench/population.h"
#include "bench/rate.h"
#include "bench/replay.h"
#include "common/base/log.h"
#include "common/base/secrets.h"
#include "common/base/usage.h"

namespace {

void AddTargetOptions(CLI::App* command, im::bench::TargetOptions* target) {
  command->add_option("--connect", target->connect,
                      "HOST:PORT of a gateway (default: the set-up in IM_HOME)");
  command->add_option("--database", target->database,
                      "PostgreSQL URL, to make accounts there (default: of the set-up in IM_HOME; "
                      "without one they are registered, which takes 0.1 s each)");
  command
      ->add_option("--ca", target->ca_file,
                   "PEM file of the authorities to trust, for a gateway with TLS")
      ->check(CLI::ExistingFile);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  // As in the daemons (common/base/process.cc): the generator shares their cores.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // What libraries say on standard error is for developers, who have GRPC_VERBOSITY; what im-chat's
  // writers say matters if it is a fault.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
  im::InitLog({.level = im::LogLevel::kWarning, .json = false, .service = "bench"});
  if (const std::string word = im::FindPassword(argc, argv); !word.empty()) {
    std::cerr << "im-bench: " << im::PasswordAdvice(word) << "\n";
    return 2;
  }
  CLI::App app("Load generator: plays scenarios through real clients, checks every delivery.");
  app.name("im-bench");
  app.require_subcommand(1);
  int exit_status = 0;

  // CLI::PositiveNumber prints its upper bound, of 309 digits.
  const auto is_positive = [](const std::string& text) {
    double number = 0;
    return CLI::detail::lexical_cast(text, number) && number > 0 ? "" : "must be more than 0";
  };

  im::bench::ReplayOptions replay;
  CLI::App* replay_command = app.add_subcommand(
      "replay",
      "Play a chat log, \"[HH:MM] <nick> text\" and \"=== nick has joined\", and check that every "
      "member got every message");
  replay_command->add_option("FILE", replay.file, "The log")->required();
  replay_command
      ->add_option("--speed", replay.speed,
                   "1: in real time, 60: an hour in a minute (default: as fast as it goes)")
      ->check(is_positive);
  replay_command->add_option("--timeout", replay.timeout_seconds, "Give up after so many seconds")
      ->check(is_positive)
      ->capture_default_str();
  replay_command->add_flag("--json", replay.json, "Print one JSON object");
  AddTargetOptions(replay_command, &replay.target);
  replay_command->footer("Example: im-bench replay chat.txt --speed 60 --json");
  replay_command->callback([&] { exit_status = im::bench::RunReplay(replay); });

  // What the scenarios that report an Outcome share.
  im::bench::TargetOptions target;
  im::bench::RunOptions run;
  const auto add = [&](const char* name, const char* what, const char* example,
                       std::function<im::bench::Outcome(const im::bench::Target&)> measure) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_flag("--json", run.json, "Print one JSON object");
    command->add_flag("--keep-awake", run.keep_awake,
                      "Idle cores poll meanwhile instead of halting (root only)");
    AddTargetOptions(command, &target);
    command->footer(std::string("Example: im-bench ") + example);
    command->callback([&, measure = std::move(measure)] {
      exit_status = im::bench::RunScenario(target, run, measure);
    });
    return command;
  };
  // An access token lives for 15 minutes, and these clients do not refresh theirs.
  const auto add_seconds = [](CLI::App* command, double* seconds) {
    command->add_option("--seconds", *seconds, "How long to measure, after a warm-up")
        ->check(CLI::Range(0.1, 600.0))
        ->capture_default_str();
  };
  const auto add_number = [](CLI::App* command, const char* name, int* value, int least, int most,
                             const char* what) {
    command->add_option(name, *value, what)->check(CLI::Range(least, most))->capture_default_str();
  };

  im::bench::PairsOptions pairs;
  CLI::App* command = nullptr;
  const auto add_pairs = [&](const char* name, const char* what,
                             im::bench::Outcome (*measure)(const im::bench::Target&,
                                                           const im::bench::PairsOptions&)) {
    command = add(name, what, (std::string(name) + " --pairs 500 --window 4").c_str(),
                  [&, measure](const im::bench::Target& found) { return measure(found, pairs); });
    add_number(command, "--pairs", &pairs.pairs, 1, 10'000, "How many pairs");
    add_number(command, "--window", &pairs.window, 1, 1'000, "Messages in flight for each pair");
    add_seconds(command, &pairs.seconds);
  };
  add_pairs("pairs", "Pairs of clients answer each other's messages as fast as they come",
            im::bench::MeasurePairs);
  add_pairs("append", "The messages of such pairs are only stored, by im-chat's writers alone",
            im::bench::MeasureAppend);
  add_pairs("echo", "Such pairs send frames that only the gateway answers", im::bench::MeasureEcho);

  im::bench::FanoutOptions fanout;
  command = add("fanout", "One sender and a large group, every member online",
                "fanout --members 1000 --window 8", [&](const im::bench::Target& found) {
                  return im::bench::MeasureFanout(found, fanout);
                });
  add_number(command, "--members", &fanout.members, 1, 20'000, "Receivers");
  add_number(command, "--window", &fanout.window, 1, 1'000,
             "Messages in flight: each is until its last receiver has it");
  add_seconds(command, &fanout.seconds);

  im::bench::RateOptions rate;
  command = add("rate", "Messages at a rate that waits for nobody, in conversations of mixed size",
                "rate --rate 2000 --conversations 500", [&](const im::bench::Target& found) {
                  return im::bench::MeasureRate(found, rate);
                });
  command->add_option("--rate", rate.rate, "Messages a second")
      ->check(CLI::Range(1.0, 1'000'000.0))
      ->capture_default_str();
  add_number(command, "--conversations", &rate.conversations, 1, 100'000,
             "70 % of two people, 20 % of 5, 8 % of 20, 2 % of 100");
  add_number(command, "--clients", &rate.clients, 2, 50'000, "People, all online");
  command->add_option("--members", rate.members, "As many in every conversation")
      ->check(CLI::Range(2, 10'000));
  add_seconds(command, &rate.seconds);

  im::bench::GrowthOptions growth;
  command =
      add("growth",
          "What a message costs while stored messages, people and members grow tenfold again "
          "and again; ten million messages take a quarter of an hour",
          "growth --max-messages 10000000 --max-users 1000000 --max-members 10000",
          [&](const im::bench::Target& found) { return im::bench::MeasureGrowth(found, growth); });
  command->add_option("--max-messages", growth.max_messages, "Stored messages, from 10,000 on")
      ->check(CLI::Range(int64_t{10'000}, int64_t{100'000'000}))
      ->capture_default_str();
  command->add_option("--max-users", growth.max_users, "People, from 1,000 on")
      ->check(CLI::Range(int64_t{1'000}, int64_t{10'000'000}))
      ->capture_default_str();
  add_number(command, "--max-members", &growth.max_members, 2, 10'000, "Of a group, from 2 on");
  command->add_option("--rate", growth.rate, "Messages a second")
      ->check(CLI::Range(1.0, 1'000'000.0))
      ->capture_default_str();
  add_seconds(command, &growth.seconds);

  im::bench::SeedOptions seed;
  command = add("seed", "Write people, conversations and messages straight into the database",
                "seed --users 10000 --conversations 5000 --messages 1000000",
                [&](const im::bench::Target& found) { return im::bench::Seed(found, seed); });
  const auto add_count = [&](const char* name, int64_t* value, const char* what) {
    command->add_option(name, *value, what)
        ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))
        ->capture_default_str();
  };
  add_count("--users", &seed.users, "People");
  add_count("--conversations", &seed.conversations, "Conversations among them, of mixed size");
  add_count("--messages", &seed.messages, "In all conversations together, as many in each");

  im::bench::IdleOptions idle;
  command = add(
      "idle", "Clients that are connected and say nothing but heartbeats", "idle --clients 10000",
      [&](const im::bench::Target& found) { return im::bench::MeasureIdle(found, idle); });
  add_number(command, "--clients", &idle.clients, 1, 50'000, "How many");
  add_seconds(command, &idle.seconds);

  im::bench::StormOptions storm;
  command =
      add("storm", "Clients that are all cut off at once, and come back", "storm --clients 5000",
          [&](const im::bench::Target& found) { return im::bench::MeasureStorm(found, storm); });
  add_number(command, "--clients", &storm.clients, 2, 50'000, "How many");
  command->add_option("--jitter", storm.jitter_seconds, "Each comes back within so many seconds")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  command->add_flag("--resume-tls", storm.resume_tls,
                    "Each comes back with its TLS session, as a client that keeps them does");

  im::bench::HistoryOptions history;
  command = add("history", "Pages of 50 out of conversations that hold much",
                "history --messages 1000 1000000", [&](const im::bench::Target& found) {
                  return im::bench::MeasureHistory(found, history);
                });
  command->add_option("--messages", history.messages, "How many each conversation holds")
      ->check(CLI::Range(int64_t{100}, int64_t{100'000'000}))
      ->capture_default_str();
  add_seconds(command, &history.seconds);

  im::bench::LoginOptions login;
  command =
      add("login", "Log-ins and refreshed tokens, beside two people who chat", "login --clients 8",
          [&](const im::bench::Target& found) { return im::bench::MeasureLogin(found, login); });
  add_number(command, "--clients", &login.clients, 1, 1'000, "Under way at once");
  add_seconds(command, &login.seconds);

  im::bench::OverloadOptions overload;
  command = add("overload", "Find out how much is possible, then send several times as much",
                "overload --clients 200 --times 3",
                [&](const im::bench::Target& found) -> im::bench::Outcome {
                  return im::bench::MeasureOverload(found, overload);
                });
  add_number(command, "--clients", &overload.clients, 2, 10'000, "How many clients send");
  command->add_option("--times", overload.times, "How many times what is possible is sent")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  command->add_option("--seconds", overload.seconds, "How long the overload lasts")
      ->check(CLI::Range(1.0, 600.0))
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return im::ReportUsage(app, error);
  }
  return exit_status;
}
