// `interlock report`: a page of one run or several, from what their folders hold.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <map>

#include "launch/command.h"
#include "launch/folders/output_apart.h"
#include "launch/run_report/run_page.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

class Report final : public Command {
 public:
  std::string summary() const override { return "write a page about a run, or about several beside each other"; }
  void declare(CLI::App& app) override {
    app.add_option("run", runs_, "run folders")->required();
    app.add_option("--output", output_, "the page; report.html of the run folder, or of this folder for several runs")
        ->type_name("FILE");
  }
  int run() override {
    start_log(-1);
    std::vector<RunRecord> records;
    for (const std::string& folder : runs_) records.push_back(read_run(folder));
    name_apart(records);
    std::string path = output_;
    if (path.empty())
      path = records.size() == 1 ? (fs::path(records.front().folder) / "report.html").string() : "report.html";
    if (std::error_code absent; fs::is_directory(path, absent)) path = (fs::path(path) / "report.html").string();
    refuse_over_sources("--output", path, runs_);
    write_atomically(path, page_of_runs(records, "interlock report " + join(runs_, " ")));
    std::cout << "Report   " << path << "\n";
    return static_cast<int>(ExitCode::done);
  }

 private:
  // Folders of one name get as much of their paths as tells them apart.
  static void name_apart(std::vector<RunRecord>& records) {
    std::map<std::string, int> names;
    for (const RunRecord& record : records) ++names[record.name];
    for (RunRecord& record : records)
      if (names[record.name] > 1) record.name = record.folder;
  }

  std::vector<std::string> runs_;
  std::string output_;
};

const Registration<Command> registered("report", [] { return std::make_unique<Report>(); });

}  // namespace
}  // namespace interlock
