#pragma once
// What a disk may hold after a power cut, from the calls that a process made. The model is weaker than any real file
// system: what was written to a file is there after its fsync, and may be there wholly, in part or not at all before;
// what was done to the names in a folder is there after the fsync of that folder, and of what was done since then any
// beginning may be there, each folder on its own.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/storage/traced_process.h"

namespace interlock {

class CrashModel {
 public:
  // A folder's files with their contents; folders in folders are not told.
  using Files = std::map<std::string, std::string>;
  // A folder of folders: name -> files.
  using State = std::map<std::string, Files>;

  // Follows what is done below `root`, a folder that exists, is empty, and is durable.
  explicit CrashModel(std::string root) : root_(std::move(root)) {}
  void apply(const FileCall& call);
  // Every state in which the folder `path` (below the root) may be found after a power cut now. Without the folder: an
  // empty state.
  void each_state(const std::string& path, const std::function<void(const State&)>& tell) const;

 private:
  struct Node;
  using Link = std::shared_ptr<Node>;
  struct Change {  // to the names of a folder: new_name becomes node, or two names swap
    enum class Kind : uint8_t { add, remove, rename, exchange };
    Kind kind{};
    std::string name, new_name;
    Link node;
  };
  struct Node {
    bool is_folder = false;
    std::string content{}, durable_content{};        // of a file
    std::map<std::string, Link> names{}, durable{};  // of a folder
    std::vector<Change> pending{};                   // between the two
  };

  static void change(std::map<std::string, Link>& names, const Change& change);
  void change(const std::string& path, Change change);
  Link find(const std::string& path) const;  // as it is now; null when absent
  bool is_below(const std::string& path) const { return path.starts_with(root_ + "/"); }

  std::string root_;
  Link top_ = std::make_shared<Node>(Node{.is_folder = true});
  std::map<int, Link> open_;
};

}  // namespace interlock
