#pragma once
// A folder that appears whole or not at all: it is filled beside its place and moved there at the end.

#include <string>
#include <vector>

namespace interlock {

class OutputFolder {
 public:
  // Error(cannot_write) when `path` is there and not empty, unless `overwrite` allows to replace it: then it may hold
  // nothing but entries named in `known`, so that nothing else is lost.
  OutputFolder(const std::string& path, bool overwrite, const std::vector<std::string>& known);
  ~OutputFolder();  // removes what was not committed
  OutputFolder(const OutputFolder&) = delete;

  const std::string& path() const { return path_; }  // where it will be
  std::string file(const std::string& name) const;   // where to write an entry now
  // Makes everything durable and moves it into place. Error(cannot_write).
  void commit();

  // What the name of a temporary folder begins with, before `name` is there.
  static std::string temporary_name(const std::string& name) { return "." + name + ".tmp."; }
  // Removes what writers that were killed left beside `path`. The caller knows that none is at work.
  static void remove_leftovers(const std::string& path);

 private:
  std::string path_, staging_;
};

}  // namespace interlock
