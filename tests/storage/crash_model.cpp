// Files and folders as they are, and as they may be found.

#include "tests/storage/crash_model.h"

#include <filesystem>

namespace interlock {
namespace {

namespace fs = std::filesystem;

}  // namespace

CrashModel::Link CrashModel::find(const std::string& path) const {
  Link at = top_;
  for (const fs::path& name : fs::path(path).lexically_relative(root_)) {
    if (name == "." || name.empty()) continue;
    const auto found = at->names.find(name.string());
    if (found == at->names.end()) return nullptr;
    at = found->second;
  }
  return at;
}

void CrashModel::change(std::map<std::string, Link>& names, const Change& what) {
  switch (what.kind) {
    case Change::Kind::add:
      names[what.name] = what.node;
      break;
    case Change::Kind::remove:
      names.erase(what.name);
      break;
    case Change::Kind::rename:
      names[what.new_name] = names.at(what.name);
      names.erase(what.name);
      break;
    case Change::Kind::exchange:
      std::swap(names.at(what.name), names.at(what.new_name));
      break;
  }
}

void CrashModel::change(const std::string& path, Change what) {
  const fs::path full = path;
  what.name = full.filename().string();
  const Link folder = find(full.parent_path().string());
  change(folder->names, what);
  folder->pending.push_back(std::move(what));
}

void CrashModel::apply(const FileCall& call) {
  using Kind = FileCall::Kind;
  const std::string new_name = fs::path(call.new_path).filename().string();
  switch (call.kind) {
    case Kind::open: {
      if (!is_below(call.path) && call.path != root_) break;
      if (call.creates && find(call.path) == nullptr)
        change(call.path, {Change::Kind::add, "", "", std::make_shared<Node>()});
      open_[call.file] = find(call.path);
      break;
    }
    case Kind::write:
      if (open_.contains(call.file)) open_[call.file]->content += call.data;  // all our writers only append
      break;
    case Kind::sync:
      if (open_.contains(call.file)) {
        Node& node = *open_[call.file];
        node.durable_content = node.content;
        node.durable = node.names;
        node.pending.clear();
      }
      break;
    case Kind::close:
      open_.erase(call.file);
      break;
    case Kind::make_folder:
      if (is_below(call.path))
        change(call.path, {Change::Kind::add, "", "", std::make_shared<Node>(Node{.is_folder = true})});
      break;
    case Kind::remove:
      if (is_below(call.path)) change(call.path, {Change::Kind::remove, "", "", nullptr});
      break;
    case Kind::rename:  // ours stay in their folder
      if (is_below(call.path)) change(call.path, {Change::Kind::rename, "", new_name, nullptr});
      break;
    case Kind::exchange:
      if (is_below(call.path)) change(call.path, {Change::Kind::exchange, "", new_name, nullptr});
      break;
  }
}

void CrashModel::each_state(const std::string& path, const std::function<void(const State&)>& tell) const {
  enum class Unsynced : uint8_t { lost, half, there };
  const auto beginning = [](const Node& folder, size_t changes) {
    std::map<std::string, Link> names = folder.durable;
    for (size_t i = 0; i < changes; ++i) change(names, folder.pending[i]);
    return names;
  };
  const auto content = [](const Node& file, Unsynced unsynced) {
    if (file.content == file.durable_content) return file.content;
    const size_t kept = unsynced == Unsynced::there  ? file.content.size()
                        : unsynced == Unsynced::half ? (file.content.size() + file.durable_content.size()) / 2
                                                     : file.durable_content.size();
    return file.content.substr(0, kept);
  };

  const Link folder = find(path);
  if (folder == nullptr) return tell({});
  // Whether the folder itself is found is its parent's matter; without it nothing is named, which is allowed until
  // something was published.
  const std::string name = fs::path(path).filename().string();
  if (!find(fs::path(path).parent_path().string())->durable.contains(name)) tell({});

  for (size_t changes = 0; changes <= folder->pending.size(); ++changes) {
    const auto names = beginning(*folder, changes);
    // Each inner folder on its own: its states are tried one folder at a time, with the others as they are now, and all
    // at their oldest. A folder is judged by itself, so no more combinations tell anything new.
    for (const auto& [inner, node] : names) {
      if (!node->is_folder) continue;
      for (size_t inner_changes = 0; inner_changes <= node->pending.size(); ++inner_changes) {
        for (const Unsynced unsynced : {Unsynced::lost, Unsynced::half, Unsynced::there}) {
          State state;
          for (const auto& [other, other_node] : names) {
            if (!other_node->is_folder) continue;
            Files& files = state[other];
            const bool tried = other == inner;
            for (const auto& [file, file_node] : beginning(*other_node, tried ? inner_changes : 0)) {
              files[file] = content(*file_node, tried ? unsynced : Unsynced::lost);
            }
          }
          tell(state);
        }
      }
    }
    if (names.empty()) tell({});
  }
}

}  // namespace interlock
