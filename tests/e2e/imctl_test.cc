// imctl as people and scripts run it: conversations, groups, exit codes, health.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/e2e/imctl_fixture.h"

namespace im::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ImctlTest, PeopleMeetAndTalk) {
  Register("ann");
  Register("bob");
  EXPECT_THAT(Do("ann", {"contacts", "request", "bob", "--greeting", "from work"}),
              HasSubstr("request sent"));
  EXPECT_THAT(Do("bob", {"contacts"}),
              AllOf(HasSubstr("ann"), HasSubstr("request received"), HasSubstr("from work")));
  Do("bob", {"contacts", "accept", "ann"});
  EXPECT_THAT(Do("ann", {"send", "bob", "hello", "there"}), HasSubstr("as number 1."));
  EXPECT_THAT(Do("bob", {"chats"}), AllOf(HasSubstr("ann"), HasSubstr("hello there")));
  EXPECT_THAT(Do("bob", {"history", "ann"}), HasSubstr("ann: hello there"));
  EXPECT_THAT(Do("bob", {"read", "ann"}), HasSubstr("Read up to 1; 0 left."));
  EXPECT_THAT(Do("bob", {"chats", "--unread"}), HasSubstr("Nothing to read."));
  EXPECT_THAT(Do("ann", {"contacts", "search", "bo"}), HasSubstr("bob"));
  EXPECT_THAT(Do("ann", {"presence"}), HasSubstr("bob   offline"));
  Do("bob", {"contacts", "block", "ann"});
  EXPECT_THAT(Do("bob", {"contacts", "blocked"}), HasSubstr("ann"));
  const Outcome refused = Run("ann", {"send", "bob", "are you there?"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("[RECIPIENT_REFUSES]"));
}

TEST_F(ImctlTest, TextsAreExactForProgramsAndHarmlessForPeople) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  const std::string text = "\x1b[2Jtwo\nlines \xe2\x80\xae\t\"q\" \\ 日本 \x7f\n";
  Do("ann", {"send", "bob"}, text);
  const std::string shown = Do("bob", {"history", "ann"});
  EXPECT_THAT(shown, HasSubstr("\\x1b[2Jtwo\n"));
  EXPECT_THAT(shown, HasSubstr("\\u202e"));
  EXPECT_EQ(shown.find('\x1b'), std::string::npos);
  EXPECT_EQ(shown.find("\nlines"), std::string::npos) << "a line of theirs stands at our margin";
  const std::string json = Do("bob", {"--json", "history", "ann"});
  EXPECT_THAT(json, HasSubstr("\"body\":\"\\u001b[2Jtwo\\nlines "));
  EXPECT_THAT(json, HasSubstr("\"sender_user_name\":\"ann\""));
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 1);
}

TEST_F(ImctlTest, WordsAreSentAsTheyStand) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  for (const char* text : {"[hello]", "[a,b]", "[]", "[[a],[b]]", "{}", "[", "%%", "a,b"}) {
    Do("ann", {"send", "bob", text}, "standard input\n");
    EXPECT_THAT(Do("bob", {"--json", "history", "ann", "--limit", "1"}),
                HasSubstr("\"body\":\"" + std::string(text) + "\""));
  }
  Do("ann", {"send", "bob", "[one]", "two", "[three]"});
  EXPECT_THAT(Do("bob", {"history", "ann"}), HasSubstr("ann: [one] two [three]\n"));
  Do("ann", {"group", "create", "[team,one]"});
  EXPECT_THAT(Do("ann", {"chats"}), HasSubstr("[team,one]"));
  EXPECT_THAT(Run("ann", {"lookup", "[ann,bob]"}).err, HasSubstr("no user '[ann,bob]'"));
  EXPECT_THAT(Run("ann", {"send", "bob", ""}, "standard input\n").err, HasSubstr("[TEXT_EMPTY]"));
}

TEST_F(ImctlTest, NothingOfTheirsStandsAtOurMargin) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  Do("bob", {"listen", "--once"});
  // On a screen of 80 columns the second half would begin a line.
  Do("ann", {"send", "bob", std::string(160, '-') + "2  12:00:00  carol: yes"});
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"history", "ann"}, {"listen", "--once"}, {"chat", "ann"}}) {
    PtyProgram bob(Command("bob", words), Environment());
    ASSERT_TRUE(bob.Sees("carol: yes")) << words[0];
    const std::string screen = bob.Screen();
    EXPECT_THAT(screen, ::testing::ContainsRegex("\r\n {9,}-+\r\n {9,}-+2  12:00:00")) << words[0];
  }
}

TEST_F(ImctlTest, ASendThatIsRepeatedIsStoredOnce) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  const std::vector<std::string> send = {"send", "bob", "once", "--request-id",
                                         "000102030405060708090a0b0c0d0e0f"};
  EXPECT_EQ(Do("ann", send), Do("ann", send));
  const Outcome other =
      Run("ann", {"send", "bob", "other", "--request-id", "000102030405060708090a0b0c0d0e0f"});
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, HasSubstr("[REQUEST_ID_REUSED]"));
}

TEST_F(ImctlTest, ExitCodesTellFailuresApart) {
  EXPECT_EQ(Run("ann", {"chats"}).status, 3);
  for (const char* word : {"nonsense", "--nonsense"}) {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{word}, {"group", word}}) {
      const Outcome unknown = Run("ann", words);
      EXPECT_EQ(unknown.status, 2);
      EXPECT_THAT(unknown.err, HasSubstr(word));
    }
  }
  EXPECT_EQ(Run("ann", {"send"}).status, 2);
  EXPECT_EQ(Run("../ann", {"chats"}).status, 2);
  Register("ann");
  EXPECT_EQ(Run("ann", {"send", "nobody-here", "hi"}).status, 1);
  EXPECT_EQ(Run("ann", {"send", "ann"}, "\xff").status, 1);
  const Outcome again = Run("ann", {"register", "bob", "--password-stdin"}, "x\n");
  EXPECT_EQ(again.status, 2);
  EXPECT_THAT(again.err, HasSubstr("logged in as ann"));
  const Outcome wrong = Run("other", {"login", "ann", "--password-stdin"}, "not this one\n");
  EXPECT_EQ(wrong.status, 3);
  EXPECT_THAT(wrong.err, HasSubstr("[WRONG_CREDENTIALS]"));
  const Outcome weak = Run("other", {"register", "carol", "--password-stdin"}, "carol123\n");
  EXPECT_EQ(weak.status, 1);
  EXPECT_THAT(weak.err, AllOf(HasSubstr("[PASSWORD_REFUSED]"), HasSubstr("password: ")));
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"profile", "set", "--bio", "\xff"},
                                             {"contacts", "search", "\xff"},
                                             {"group", "create", "\xff"},
                                             {"register", "\xff"}}) {
    const Outcome bytes = Run("ann", words);
    EXPECT_EQ(bytes.status, 2) << words[0];
    EXPECT_THAT(bytes.err, AllOf(HasSubstr("is not UTF-8"), Not(HasSubstr("protobuf"))));
  }
  EXPECT_EQ(Run("ann", {"--ca", "/nonexistent", "chats"}).status, 2);
  for (const char* server : {"127.0.0.1:99999", "localhost", "http://127.0.0.1:7400"}) {
    const Outcome address = Run("ann", {"--server", server, "chats"});
    EXPECT_EQ(address.status, 2) << server;
    EXPECT_THAT(address.err, HasSubstr("HOST:PORT"));
  }
  const Outcome json = Run("none", {"--json", "chats"});
  EXPECT_THAT(json.err, HasSubstr("{\"error\":{"));
  stack_.Kill("gateway");
  const Outcome away = Run("ann", {"logout"});
  EXPECT_EQ(away.status, 4);
  EXPECT_THAT(away.err,
              AllOf(HasSubstr("--server"), HasSubstr("--forget"), HasSubstr("im status")));
}

TEST_F(ImctlTest, NamesThatNobodyHas) {
  Register("ann");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"send", "user:", "x"},
                                             {"history", "user:"},
                                             {"contacts", "accept", ""},
                                             {"group", "create", "team", "ann", ""}}) {
    const Outcome outcome = Run("ann", words);
    EXPECT_EQ(outcome.status, 1) << words[0];
    EXPECT_THAT(outcome.err, HasSubstr("there is no user ''")) << words[0];
  }
  for (const char* command : {"send", "chat", "history"}) {
    const Outcome outcome = Run("ann", {command, ""});
    EXPECT_EQ(outcome.status, 1) << command;
    EXPECT_THAT(outcome.err, HasSubstr("[USER_NOT_FOUND]"));
  }
  const Outcome some = Run("ann", {"lookup", "nobody", "ANN", "noone"});
  EXPECT_EQ(some.status, 1);
  EXPECT_THAT(some.out, HasSubstr("ann"));
  EXPECT_THAT(some.err, HasSubstr("there is no user 'nobody', 'noone'"));
}

TEST_F(ImctlTest, ReadingBackOpensNoConversation) {
  Register("ann");
  Register("bob");
  for (const char* command : {"history", "read"}) {
    const Outcome outcome = Run("ann", {command, "bob"});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr("no conversation with bob yet"));
  }
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.conversations"), "0");
}

TEST_F(ImctlTest, Groups) {
  for (const char* who : {"ann", "bob", "carol"}) Register(who);
  Befriend("ann", "bob");
  EXPECT_THAT(Do("ann", {"group", "create", "team", "bob"}), HasSubstr("2 members"));
  for (const char* title : {"", "  ", "one\nof two"}) {
    EXPECT_THAT(Run("ann", {"group", "create", title}).err, HasSubstr("[TITLE_INVALID]")) << title;
  }
  Do("ann", {"group", "create", "777"});
  EXPECT_THAT(Do("ann", {"group", "members", "777"}), HasSubstr("founder"));
  EXPECT_THAT(Do("ann", {"send", "777", "hi"}), HasSubstr("as number 2."));
  const Outcome stranger = Run("ann", {"group", "add", "team", "carol"});
  EXPECT_EQ(stranger.status, 1);
  EXPECT_THAT(stranger.err, AllOf(HasSubstr("carol"), HasSubstr("[MEMBER_REFUSED]")));
  Do("carol", {"settings", "set", "--reachable-by", "anyone"});
  EXPECT_THAT(Do("ann", {"group", "add", "team", "carol"}), HasSubstr("* ann added carol"));
  Do("carol", {"send", "team", "hi", "all"});
  EXPECT_THAT(Do("bob", {"history", "team"}),
              AllOf(HasSubstr("* ann added carol"), HasSubstr("carol: hi all")));
  EXPECT_THAT(Do("bob", {"group", "members", "team"}),
              AllOf(HasSubstr("founder"), HasSubstr("carol")));
  EXPECT_THAT(Do("bob", {"group", "watermarks", "team"}), HasSubstr("carol"));
  Do("bob", {"group", "leave", "team"});
  EXPECT_EQ(Run("bob", {"send", "team", "still here?"}).status, 1);
  EXPECT_THAT(Do("bob", {"group", "return", "team"}), HasSubstr("* bob came back"));
  Do("ann", {"group", "remove", "team", "carol"});
  EXPECT_EQ(Run("carol", {"group", "return", "team"}).status, 1);
  Do("bob", {"group", "rename", "team", "the team"});
  EXPECT_THAT(Do("ann", {"chats"}), HasSubstr("the team"));
  Do("ann", {"group", "create", "the team"});
  const Outcome which = Run("ann", {"send", "the team", "who?"});
  EXPECT_EQ(which.status, 2);
  EXPECT_THAT(which.err, HasSubstr("group:"));
}

TEST_F(ImctlTest, AnIdIsNoName) {
  for (const char* who : {"ann", "bob", "501"}) Register(who);
  Befriend("ann", "bob");
  Befriend("ann", "501");
  stack_.database().Value("SELECT setval(pg_get_serial_sequence('chat.conversations', 'id'), 500)");
  EXPECT_EQ(Do("ann", {"group", "create", "team"}), "Made group:501 with 1 member.\n");
  Do("ann", {"send", "bob", "hello"});
  Do("ann", {"send", "501", "for your eyes only"});
  EXPECT_THAT(Do("501", {"history", "ann"}), HasSubstr("ann: for your eyes only"));
  Do("ann", {"send", "group:501", "hi team"});
  EXPECT_THAT(Do("ann", {"history", "conversation:501"}), HasSubstr("ann: hi team"));
  const std::string direct = stack_.database().Value(
      "SELECT id FROM chat.conversations WHERE low_user_id = 1 AND high_user_id = 2");
  EXPECT_THAT(Do("ann", {"history", "conversation:" + direct}), HasSubstr("ann: hello"));
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"history", "group:" + direct},
                                             {"send", "group:" + direct, "hi"},
                                             {"group", "leave", "group:" + direct},
                                             {"group", "members", direct},
                                             {"history", direct},
                                             {"history", "conversation:999"},
                                             {"history", "group:99999999999999999999"}}) {
    const Outcome outcome = Run("ann", words);
    EXPECT_EQ(outcome.status, 1) << words[0] << " " << words[1] << outcome.out;
  }
  EXPECT_THAT(Run("ann", {"history", direct}).err, HasSubstr("conversation:" + direct));
}

TEST_F(ImctlTest, WhatCannotBeWrittenOrReadIsAnError) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  Do("bob", {"listen", "--once"});
  Do("ann", {"send", "bob", "one"});
  const auto shell = [&](const std::string& who, const std::string& rest) {
    return RunProgram({"/bin/sh", "-c", IM_BINARY_DIR "/bin/imctl --profile " + who + " " + rest},
                      "", Environment());
  };
  for (const char* command :
       {"listen --once > /dev/full", "listen --once >&-", "--json listen --once > /dev/full",
        "history ann > /dev/full", "chats > /dev/full", "--help > /dev/full",
        "chat ann > /dev/full", "send ann < /tmp", "send ann <&-"}) {
    const Outcome outcome = shell("bob", command);
    EXPECT_EQ(outcome.status, 6) << command << ": " << outcome.err;
  }
  EXPECT_THAT(shell("bob", "send ann < /tmp").err, HasSubstr("cannot read standard input"));
  EXPECT_THAT(Do("bob", {"chats", "--unread"}), HasSubstr("ann"));
  EXPECT_THAT(Do("bob", {"listen", "--once"}), HasSubstr("ann: one"));
}

TEST_F(ImctlTest, WhatTheReadmeSaysWorks) {
  Register("bob");
  std::stringstream readme;
  readme << std::ifstream(IM_SOURCE_DIR "/README.md").rdbuf();
  const std::string text = readme.str().substr(readme.str().find("## What it does"));
  const std::regex command("`imctl ([^`]*)`");
  int tried = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), command), end; at != end; ++at) {
    std::string line = (*at)[1];
    // These last, want a status that lasts, an id of their own, or are tested beside this.
    if (std::regex_search(line, std::regex("listen|presence set|revoke|passwd"))) continue;
    const bool logs_in = std::regex_search(line, std::regex("register|login"));
    if (logs_in) line += " --password-stdin";
    const Outcome outcome = RunProgram({"/bin/sh", "-c", IM_BINARY_DIR "/bin/imctl " + line},
                                       logs_in ? std::string(kPassword) + "\n" : "", Environment());
    EXPECT_EQ(outcome.status, 0) << line << ": " << outcome.err;
    if (line == "contacts request bob") Do("bob", {"contacts", "accept", "ann"});
    ++tried;
  }
  EXPECT_GT(tried, 12);
}

TEST_F(ImctlTest, CompletesCommandLines) {
  EXPECT_EQ(Run("ann", {"completion", "bash"}).status, 0);
  std::filesystem::create_directories(home_ + "/anna");
  const auto complete = [&](const std::string& words, int word) {
    return RunProgram(
               {"/bin/bash", "-c",
                "source <(" IM_BINARY_DIR "/bin/imctl completion bash); COMP_WORDS=(" + words +
                    "); COMP_CWORD=" + std::to_string(word) + "; _imctl; echo ${COMPREPLY[@]}"},
               "", Environment())
        .out;
  };
  EXPECT_EQ(complete("imctl --profile ann gr", 3), "group\n");
  EXPECT_THAT(complete("imctl group ''", 2), HasSubstr("create rename add"));
  EXPECT_EQ(complete("imctl contacts --js", 2), "--json\n");
  EXPECT_EQ(complete("imctl --profile an", 2), "anna\n");
  EXPECT_EQ(complete("imctl --server ''", 2), "\n");
}

TEST_F(ImctlTest, Health) {
  EXPECT_THAT(Do("ann", {"health", stack_.address()}), HasSubstr("serving"));
  EXPECT_THAT(Do("ann", {"health", "unix:" + stack_.folder() + "/auth.sock"}),
              HasSubstr("serving"));
  EXPECT_EQ(Run("ann", {"health", stack_.address(), "--certificate", "/dev/null"}).status, 2)
      << "without its key";
  stack_.Kill("gateway");
  EXPECT_EQ(Run("ann", {"health", stack_.address()}).status, 4);
}

}  // namespace
}  // namespace im::testing
