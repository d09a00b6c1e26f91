// From paths to files: folders, globs, links, loops, and what must be refused.

#include "runtime/data/corpus_files.h"

#include <sys/stat.h>

#include "runtime/data/file_cache.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

class CorpusFiles : public testing::Test {
 protected:
  void put_file(const std::string& name, const std::string& content) {
    fs::create_directories(fs::path(folder_.file(name)).parent_path());
    put(folder_.file(name), content);
  }
  // Paths relative to the folder, in the order found.
  std::vector<std::string> found(const std::vector<std::string>& names) const {
    std::vector<std::string> paths, list;
    for (const std::string& name : names) paths.push_back(folder_.file(name));
    for (const CorpusFile& file : find_corpus_files(paths, "data.paths")) {
      list.push_back(fs::relative(file.path, fs::canonical(folder_.path())).string());
      EXPECT_EQ(static_cast<uintmax_t>(file.size), fs::file_size(file.path));
    }
    return list;
  }
  void expect_refused(const std::vector<std::string>& names, const std::string& reason) const {
    const auto error = error_of([&] { found(names); });
    ASSERT_TRUE(error) << reason;
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    for (const std::string& part : {reason, std::string("data.paths"), folder_.file(names.back())}) {
      EXPECT_NE(std::string(error->what()).find(part), std::string::npos) << error->what();
    }
  }
  using Names = std::vector<std::string>;
  TemporaryFolder folder_;
};

TEST_F(CorpusFiles, FoldersGlobsAndFilesEachOnceSorted) {
  put_file("b.txt", "b");
  put_file("a.txt", "a");
  put_file("sub/deep/c.txt", "c");
  put_file("sub/d.md", "d");
  put_file("empty.txt", "");
  put_file("sub/.git/pack", "hidden");
  put_file(".hidden", "h");
  put_file("x[1].txt", "bracket");
  EXPECT_EQ(found({""}), (Names{"a.txt", "b.txt", "sub/d.md", "sub/deep/c.txt", "x[1].txt"}));
  EXPECT_EQ(found({"*.txt"}), (Names{"a.txt", "b.txt", "x[1].txt"}));
  EXPECT_EQ(found({"x[1].txt"}), (Names{"x[1].txt"}));
  EXPECT_EQ(found({"s*"}), (Names{"sub/d.md", "sub/deep/c.txt"}));
  EXPECT_EQ(found({"sub", "b.txt", "sub/d.md", "sub/../b.txt"}), (Names{"b.txt", "sub/d.md", "sub/deep/c.txt"}));
  EXPECT_EQ(found({".hidden"}), (Names{".hidden"}));  // named outright it is taken
}

// Read byte by byte they would train a model on noise, in silence.
TEST_F(CorpusFiles, CompressedFilesAreCalledThat) {
  const std::pair<std::string, std::string> kinds[] = {{"gzip",
                                                        "\x1f\x8b\x08"
                                                        "abc"},
                                                       {"xz", std::string("\xfd"
                                                                          "7zXZ\0abc",
                                                                          9)},
                                                       {"zstd",
                                                        "\x28\xb5\x2f\xfd"
                                                        "abc"},
                                                       {"bzip2", "BZh91AY&SY"},
                                                       {"zip",
                                                        "PK\x03\x04"
                                                        "abc"}};
  for (const auto& [name, bytes] : kinds) {
    put_file("folder/some.txt", bytes);
    expect_refused({"folder/some.txt"}, "is compressed (" + name + "); unpack it first");
    const auto error = error_of([&] { found({"folder"}); });
    ASSERT_TRUE(error) << name;
    EXPECT_NE(std::string(error->what()).find("folder/some.txt is compressed"), std::string::npos) << error->what();
  }
  put_file("text.txt", "BZh is how a text may begin, and PK too");
  EXPECT_EQ(found({"text.txt"}), (Names{"text.txt"}));
}

TEST_F(CorpusFiles, LinksAreFollowedOnceAndLoopsEnd) {
  put_file("real/a.txt", "a");
  put_file("outside/b.txt", "b");
  fs::create_symlink("..", folder_.file("real/up"));
  fs::create_symlink(".", folder_.file("real/self"));
  fs::create_symlink("a.txt", folder_.file("real/again.txt"));
  fs::create_directory_symlink("../outside", folder_.file("real/far"));
  EXPECT_EQ(found({"real"}), (Names{"outside/b.txt", "real/a.txt"}));
  fs::create_symlink("real", folder_.file("link"));
  EXPECT_EQ(found({"link/a.txt"}), (Names{"real/a.txt"}));
  fs::create_symlink("nowhere", folder_.file("real/dangling"));
  expect_refused({"real/dangling"}, "cannot be read");
  EXPECT_TRUE(error_of([&] { found({"real"}); }));
}

TEST_F(CorpusFiles, WhatIsNotThereOrNoText) {
  put_file("sub/empty.txt", "");
  ASSERT_EQ(mkfifo(folder_.file("sub/pipe").c_str(), 0600), 0);
  expect_refused({"absent"}, "does not exist");
  expect_refused({"*.none"}, "matches no file");
  expect_refused({"sub"}, "no bytes found");
  expect_refused({"sub/pipe"}, "neither a file nor a folder");
  put_file("sub/a.txt", "a");
  EXPECT_EQ(found({"sub"}), (Names{"sub/a.txt"}));
}

TEST_F(CorpusFiles, CacheForgetsButMapsStay) {
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) put_file("f" + std::to_string(i), "content " + std::to_string(i));
  const auto files = find_corpus_files({folder_.path().string()}, "data.paths");
  const FileCache cache(3);
  const auto text = [](const MappedFile& file) {
    return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  };
  const auto kept = cache.get(files[0]);
  for (int round = 0; round < 3; ++round) {
    for (const CorpusFile& file : files) EXPECT_EQ(text(*cache.get(file)), get(file.path));
  }
  EXPECT_EQ(text(*kept), get(files[0].path));
  put(files[5].path, "another size");
  cache.get(files[6]);
  const auto error = error_of([&] { cache.get(files[5]); });
  ASSERT_TRUE(error);
  EXPECT_NE(std::string(error->what()).find("changed while it was in use"), std::string::npos);
}

}  // namespace
}  // namespace interlock
