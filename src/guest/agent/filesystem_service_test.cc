#include <gmock/gmock.h>
#include <sys/stat.h>

#include <thread>

#include "guest/agent/test_agent.h"

namespace wrenn::guest {
namespace {

using testing::ElementsAre;
using Type = wire::FileEventType;

json::object Path(const std::string& path) { return {{"path", path}}; }

wire::EntryInfo EntryOf(const Result<json::object>& reply) {
  EXPECT_TRUE(reply) << reply.error().message;
  if (!reply) return {};
  auto entry = wire::DecodeEntryInfo(reply->at("entry").as_object());
  EXPECT_TRUE(entry);
  return entry ? *entry : wire::EntryInfo();
}

TEST(FilesystemService, StatDescribesFilesAndLinks) {
  TestAgent agent;
  TempFolder folder;
  WriteText(folder / "f", "12345");
  ::chmod((folder / "f").c_str(), 0640);
  ASSERT_EQ(::symlink("f", (folder / "l").c_str()), 0);
  ASSERT_EQ(::symlink("nowhere", (folder / "broken").c_str()), 0);
  const auto file = EntryOf(agent.Call("filesystem.Filesystem/Stat", Path(folder / "./x/../f")));
  EXPECT_EQ(file.name, "f");
  EXPECT_EQ(file.path, folder / "f");
  EXPECT_EQ(file.type, wire::FileType::kFile);
  EXPECT_EQ(file.size, 5);
  EXPECT_EQ(file.mode, 0640u);
  EXPECT_EQ(file.permissions, "-rw-r-----");
  EXPECT_FALSE(file.symlink_target);
  EXPECT_LT(std::chrono::system_clock::now() - file.modified, std::chrono::minutes(1));
  const auto link = EntryOf(agent.Call("filesystem.Filesystem/Stat", Path(folder / "l")));
  EXPECT_EQ(link.type, wire::FileType::kFile);
  EXPECT_EQ(link.permissions, "Lrwxrwxrwx");
  EXPECT_EQ(link.symlink_target, folder / "f");
  const auto broken = EntryOf(agent.Call("filesystem.Filesystem/Stat", Path(folder / "broken")));
  EXPECT_EQ(broken.type, wire::FileType::kSymlink);
  EXPECT_EQ(broken.symlink_target, "nowhere");
  const auto here = EntryOf(agent.Call("filesystem.Filesystem/Stat", Path(folder.path())));
  EXPECT_EQ(here.permissions, "drwx------");
  auto missing = agent.Call("filesystem.Filesystem/Stat", Path(folder / "none"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
}

TEST(FilesystemService, MakeDirMakesAllOnce) {
  TestAgent agent;
  TempFolder folder;
  const auto made = EntryOf(agent.Call("filesystem.Filesystem/MakeDir", Path(folder / "a/b/c")));
  EXPECT_EQ(made.type, wire::FileType::kDirectory);
  auto again = agent.Call("filesystem.Filesystem/MakeDir", Path(folder / "a/b/c"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kAlreadyExists);
  WriteText(folder / "f", "");
  auto in_the_way = agent.Call("filesystem.Filesystem/MakeDir", Path(folder / "f"));
  EXPECT_EQ(in_the_way.error().code, Code::kInvalidArgument);
  auto below = agent.Call("filesystem.Filesystem/MakeDir", Path(folder / "f/x"));
  EXPECT_EQ(below.error().code, Code::kInvalidArgument);
}

TEST(FilesystemService, MoveMakesParents) {
  TestAgent agent;
  TempFolder folder;
  WriteText(folder / "f", "x");
  json::object request{{"source", folder / "f"}, {"destination", folder / "new/g"}};
  EXPECT_EQ(EntryOf(agent.Call("filesystem.Filesystem/Move", request)).path, folder / "new/g");
  EXPECT_EQ(FileText(folder / "new/g"), "x");
  auto missing = agent.Call("filesystem.Filesystem/Move", request);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
}

TEST(FilesystemService, ListDirGoesAsDeepAsAsked) {
  TestAgent agent;
  TempFolder folder;
  std::filesystem::create_directories(folder / "b/inner/deep");
  WriteText(folder / "a", "");
  WriteText(folder / "b/x", "");
  WriteText(folder / "c", "");
  ASSERT_EQ(::symlink("b", (folder / "z").c_str()), 0);
  const auto names = [&](int depth) {
    json::object request = Path(folder.path());
    request["depth"] = depth;
    auto reply = agent.Call("filesystem.Filesystem/ListDir", request);
    EXPECT_TRUE(reply) << reply.error().message;
    std::vector<std::string> list;
    if (!reply) return list;
    for (const json::value& entry : reply->at("entries").as_array()) {
      list.push_back(std::string(entry.at("path").as_string()).substr(folder.path().size() + 1));
    }
    return list;
  };
  EXPECT_THAT(names(0), ElementsAre("a", "b", "c", "z"));
  EXPECT_THAT(names(1), ElementsAre("a", "b", "c", "z"));
  EXPECT_THAT(names(2), ElementsAre("a", "b", "b/inner", "b/x", "c", "z"));
  EXPECT_THAT(names(9), ElementsAre("a", "b", "b/inner", "b/inner/deep", "b/x", "c", "z"));
  EXPECT_EQ(agent.Call("filesystem.Filesystem/ListDir", Path(folder / "none")).error().code,
            Code::kNotFound);
  EXPECT_EQ(agent.Call("filesystem.Filesystem/ListDir", Path(folder / "a")).error().code,
            Code::kInvalidArgument);
}

TEST(FilesystemService, LargeFoldersAreListedWhole) {
  TestAgent agent;
  TempFolder folder;
  for (int i = 0; i < 2000; ++i) WriteText(folder / ("f" + std::to_string(i)), "");
  auto reply = agent.Call("filesystem.Filesystem/ListDir", Path(folder.path()));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->at("entries").as_array().size(), 2000u);
}

TEST(FilesystemService, RemoveTakesWholeTreesAndNeverFollowsLinks) {
  TestAgent agent;
  TempFolder folder;
  TempFolder other;
  WriteText(other / "keep", "x");
  std::filesystem::create_directories(folder / "t/a/b");
  std::filesystem::create_directories(folder / "t/c");
  WriteText(folder / "t/a/b/f", "");
  ASSERT_EQ(::symlink(other.path().c_str(), (folder / "t/a/link").c_str()), 0);
  // Deeper than any path can name.
  std::string deep = "cd " + (folder / "t/c") +
                     "; i=0; while [ $i -lt 300 ]; do "
                     "mkdir abcdefghijklmnopqrst && cd -P abcdefghijklmnopqrst || exit 1; "
                     "i=$((i+1)); done";
  ASSERT_EQ(std::system(deep.c_str()), 0);
  ASSERT_TRUE(agent.Call("filesystem.Filesystem/Remove", Path(folder / "t")));
  EXPECT_FALSE(std::filesystem::exists(folder / "t"));
  EXPECT_EQ(FileText(other / "keep"), "x");
  EXPECT_TRUE(agent.Call("filesystem.Filesystem/Remove", Path(folder / "t")));
  EXPECT_FALSE(agent.Call("filesystem.Filesystem/Remove", Path("/")));
}

// The events of a watch stream until the given one.
std::vector<std::pair<Type, std::string>> EventsUntil(TestStream& stream, Type type,
                                                      const std::string& name) {
  std::vector<std::pair<Type, std::string>> events;
  while (const auto message = stream.Next()) {
    if (!message->contains("filesystem")) continue;
    auto event = wire::DecodeFileEvent(message->at("filesystem").as_object());
    EXPECT_TRUE(event);
    if (!event) break;
    events.emplace_back(event->type, event->name);
    if (event->type == type && event->name == name) break;
  }
  return events;
}

TEST(FilesystemService, WatchTellsWhatHappens) {
  TestAgent agent;
  TempFolder folder;
  TestStream stream = agent.Open("filesystem.Filesystem/WatchDir", Path(folder.path()));
  const auto start = stream.Next();
  ASSERT_TRUE(start);
  EXPECT_TRUE(start->contains("start"));
  WriteText(folder / "f", "x");
  EXPECT_THAT(EventsUntil(stream, Type::kWrite, "f"),
              ElementsAre(std::pair(Type::kCreate, "f"), std::pair(Type::kWrite, "f")));
  ::chmod((folder / "f").c_str(), 0600);
  std::filesystem::rename(folder / "f", folder / "g");
  std::filesystem::remove(folder / "g");
  EXPECT_THAT(EventsUntil(stream, Type::kRemove, "g"),
              ElementsAre(std::pair(Type::kChmod, "f"), std::pair(Type::kRename, "f"),
                          std::pair(Type::kCreate, "g"), std::pair(Type::kRemove, "g")));
}

TEST(FilesystemService, AnUploadLooksLikeAWrite) {
  TestAgent agent;
  TempFolder folder;
  TestStream stream = agent.Open("filesystem.Filesystem/WatchDir", Path(folder.path()));
  ASSERT_TRUE(stream.Next());
  for (int i = 0; i < 2; ++i) {
    wire::RequestHead head = agent.Head("POST", "/files?path=" + (folder / "f"));
    head.fields.Add("Content-Type", "application/octet-stream");
    EXPECT_EQ(agent.Send(std::move(head), "x").head.status, 200);
  }
  std::filesystem::create_directory(folder / "end");
  EXPECT_THAT(EventsUntil(stream, Type::kCreate, "end"),
              ElementsAre(std::pair(Type::kCreate, "f"), std::pair(Type::kWrite, "f"),
                          std::pair(Type::kWrite, "f"), std::pair(Type::kCreate, "end")));
}

TEST(FilesystemService, ARecursiveWatchSeesNewFolders) {
  TestAgent agent;
  TempFolder folder;
  std::filesystem::create_directories(folder / "old/er");
  json::object request = Path(folder.path());
  request["recursive"] = true;
  TestStream stream = agent.Open("filesystem.Filesystem/WatchDir", request);
  ASSERT_TRUE(stream.Next());
  WriteText(folder / "old/er/f", "x");
  EXPECT_THAT(EventsUntil(stream, Type::kCreate, "old/er/f"), testing::SizeIs(1));
  // Whatever of this is older than the watch on it is reported all the same, and once.
  for (int round = 0; round < 20; ++round) {
    const std::string top = "new" + std::to_string(round);
    std::filesystem::create_directories(folder / (top + "/a/b"));
    WriteText(folder / (top + "/a/b/f"), "x");
    std::filesystem::create_directory(folder / ("end" + std::to_string(round)));
    std::vector<std::string> created;
    const auto events = EventsUntil(stream, Type::kCreate, "end" + std::to_string(round));
    for (const auto& [type, name] : events) {
      if (type == Type::kCreate && name.starts_with(top)) created.push_back(name);
    }
    // The last ones may come behind the mark.
    while (created.size() < 4) {
      const auto more = EventsUntil(stream, Type::kCreate, top + "/a/b/f");
      for (const auto& [type, name] : more) {
        if (type == Type::kCreate) created.push_back(name);
      }
      if (more.empty()) break;
    }
    EXPECT_THAT(created,
                testing::UnorderedElementsAre(top, top + "/a", top + "/a/b", top + "/a/b/f"));
  }
}

TEST(FilesystemService, AWatchOfMoreThanItCanTellSaysSo) {
  TestAgent agent;
  TempFolder folder;
  TempFolder other;
  std::filesystem::create_directory(other / "tree");
  for (int i = 0; i < 17'000; ++i) WriteText(other / ("tree/" + std::to_string(i)), "");
  json::object request = Path(folder.path());
  request["recursive"] = true;
  TestStream stream = agent.Open("filesystem.Filesystem/WatchDir", request);
  ASSERT_TRUE(stream.Next());
  std::filesystem::rename(other / "tree", folder / "tree");
  while (stream.Next()) {
  }
  ASSERT_TRUE(stream.error());
  EXPECT_EQ(stream.error()->code, Code::kResourceExhausted);
}

TEST(FilesystemService, EntriesComeWithEventsOnDemand) {
  TestAgent agent;
  TempFolder folder;
  json::object request = Path(folder.path());
  request["includeEntry"] = true;
  TestStream stream = agent.Open("filesystem.Filesystem/WatchDir", request);
  ASSERT_TRUE(stream.Next());
  std::filesystem::create_directory(folder / "d");
  const auto message = stream.Next();
  ASSERT_TRUE(message);
  auto event = wire::DecodeFileEvent(message->at("filesystem").as_object());
  ASSERT_TRUE(event && event->entry);
  EXPECT_EQ(event->entry->path, folder / "d");
  EXPECT_EQ(event->entry->type, wire::FileType::kDirectory);
}

TEST(FilesystemService, WhatCannotBeWatchedSaysWhy) {
  TestAgent agent;
  TempFolder folder;
  WriteText(folder / "f", "");
  TestStream missing = agent.Open("filesystem.Filesystem/WatchDir", Path(folder / "none"));
  EXPECT_FALSE(missing.Next());
  EXPECT_EQ(missing.error()->code, Code::kNotFound);
  TestStream file = agent.Open("filesystem.Filesystem/WatchDir", Path(folder / "f"));
  EXPECT_FALSE(file.Next());
  EXPECT_EQ(file.error()->code, Code::kInvalidArgument);
}

TEST(FilesystemService, WatchersCollectBetweenCalls) {
  TestAgent agent;
  TempFolder folder;
  auto created = agent.Call("filesystem.Filesystem/CreateWatcher", Path(folder.path()));
  ASSERT_TRUE(created);
  const json::object id{{"watcherId", created->at("watcherId")}};
  WriteText(folder / "f", "x");
  size_t count = 0;
  const Deadline deadline = Soon();
  while (count < 2 && !deadline.HasPassed()) {
    auto events = agent.Call("filesystem.Filesystem/GetWatcherEvents", id);
    ASSERT_TRUE(events);
    count += events->at("events").as_array().size();
  }
  EXPECT_EQ(count, 2u);
  EXPECT_TRUE(agent.Call("filesystem.Filesystem/RemoveWatcher", id));
  auto gone = agent.Call("filesystem.Filesystem/GetWatcherEvents", id);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace wrenn::guest
