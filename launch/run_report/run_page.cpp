#include "launch/run_report/run_page.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "launch/page/bar_picture.h"
#include "launch/page/markup.h"
#include "launch/page/page.h"
#include "launch/run_report/curves.h"
#include "launch/run_report/measured_trace.h"
#include "launch/run_report/replay.h"
#include "runtime/core/error.h"
#include "runtime/observe/trace_part.h"

namespace interlock {
namespace {

constexpr size_t most_timelines = 6;  // of runs, each some hundred bars

std::string shown(const std::optional<double>& value, int decimals = 4) {
  return value ? fixed(*value, decimals) : "-";
}

std::optional<double> last_loss(const RunRecord& run) {
  if (run.rows.empty() || !std::isfinite(run.rows.back().loss)) return std::nullopt;
  return run.rows.back().loss;
}

Table summary_of(const std::vector<RunRecord>& runs) {
  Table table{"What came out",
              {"run", "rule", "stages", "steps", "training loss", "held-out loss", "baseline", "time", "speed",
               "idle share", "peak of a rank", "sent"},
              {}};
  for (const RunRecord& run : runs) {
    const auto peak = run.largest_peak_mib(), sent = run.result_number("bytes_sent");
    table.rows.push_back({run.name, rule_label(run), run.text("parallel.stages", "4"),
                          run.rows.empty() ? "0" : std::to_string(run.rows.back().step), shown(last_loss(run)),
                          shown(run.last_validation()), shown(run.result_number("unigram_baseline")),
                          duration(run.seconds()), significant(run.tokens_per_second()) + " " + run.unit() + "/s",
                          percent(run.idle_share()), peak ? significant(*peak) + " MiB" : "-",
                          sent ? bytes(*sent) : "-"});
  }
  return table;
}

// One sentence for a run alone, none for several: their table says it.
std::string lead_of(const std::vector<RunRecord>& runs) {
  std::string out;
  if (runs.size() == 1) {
    const RunRecord& run = runs.front();
    std::string sentence = message(rule_label(run), " on ", run.text("parallel.stages", "4"), " stages and ",
                                   run.text("parallel.ranks", "4"), " ranks");
    if (const auto held_out = run.last_validation()) {
      sentence += message(" reached a held-out loss of ", fixed(*held_out, 3), " nats per target");
      if (const auto baseline = run.result_number("unigram_baseline"))
        sentence += message("; the best constant guess would have ", fixed(*baseline, 3));
    } else if (const auto loss = last_loss(run)) {
      sentence += message(" ended at a training loss of ", fixed(*loss, 3), " nats per target");
    }
    sentence += message(". ", run.rows.size(), " steps took ", duration(run.seconds()), " at ",
                        significant(run.tokens_per_second()), " ", run.unit(), "/s, and ranks waited ",
                        percent(run.idle_share()), " of that time.");
    out = "<p class=\"answer\">" + escaped(sentence) + "</p>\n";
  }
  out += html_of(summary_of(runs));
  std::vector<std::string> notes;
  for (const RunRecord& run : runs)
    for (const std::string& note : run.notes) notes.push_back(run.name + ": " + note);
  return notes.empty() ? out : out + list_of(notes);
}

Chart chart_over(const std::vector<RunRecord>& runs, const std::string& title, const std::string& x_label,
                 const std::string& y_label,
                 const std::function<std::vector<ChartPoint>(const RunRecord&)>& points_of) {
  Chart chart{title, x_label, y_label, {}};
  for (size_t i = 0; i < runs.size(); ++i)
    chart.series.push_back({runs.size() > 1 ? runs[i].name : "", static_cast<int>(i) + (runs.size() > 1 ? 0 : 1),
                            thinned(points_of(runs[i]))});
  return chart;
}

std::string curves_section(const std::vector<RunRecord>& runs) {
  const auto training = [](const RowValue& x) {
    return [x](const RunRecord& run) { return curve_of(run, x, [](const MetricsRow& row) { return row.loss; }); };
  };
  const auto held_out = [](const RowValue& x) { return [x](const RunRecord& run) { return held_out_curve(run, x); }; };
  const auto of = [](auto member) {
    return [member](const RunRecord& run) {
      return curve_of(run, step_of, [member](const MetricsRow& row) { return row.*member; });
    };
  };
  const std::string nats = "nats per target";
  std::string all = figure_of(chart_over(runs, "Held-out loss by steps", "step", nats, held_out(step_of))) +
                    figure_of(chart_over(runs, "Held-out loss by time", "seconds", nats, held_out(seconds_of))) +
                    figure_of(chart_over(runs, "Training loss by steps", "step", nats, training(step_of)));
  if (runs.size() == 1) {
    std::set<int> stages;
    for (const MetricsRow& row : runs.front().rows)
      for (const auto& [stage, loss] : row.losses) stages.insert(stage);
    Chart heads{"Training loss of every head", "step", nats, {}};
    for (const int stage : stages) {
      const auto loss = [stage](const MetricsRow& row) {
        const auto found = row.losses.find(stage);
        return found == row.losses.end() ? std::nan("") : found->second;
      };
      heads.series.push_back({message("stage ", stage), stage, thinned(curve_of(runs.front(), step_of, loss))});
    }
    if (stages.size() > 1) all += figure_of(heads);
  }
  all += figure_of(
      chart_over(runs, "Norm of the gradient, before clipping", "step", "norm", of(&MetricsRow::gradient_norm)));
  all += figure_of(chart_over(runs, "Speed", "step", (runs.empty() ? "tokens" : runs.front().unit()) + " per second",
                              of(&MetricsRow::tokens_per_second)));
  return figures(all) + "<p class=\"note\">" +
         (runs.size() > 1 ? "Curves of many steps are drawn" : "A curve of many steps is drawn") +
         " as means of neighbours. Time is that of training steps: evaluations and checkpoints are not in it.</p>\n";
}

// Of a run that died, or goes on. A folder that nobody may write to has none then.
void put_trace_together(const std::string& folder) {
  try {
    if (!std::filesystem::exists(std::filesystem::path(folder) / "trace.json")) join_trace_parts(folder);
  } catch (const Error&) {
  }
}

std::string step_section(const std::vector<RunRecord>& runs) {
  std::string out;
  for (size_t i = 0; i < std::min(runs.size(), most_timelines); ++i) {
    const RunRecord& run = runs[i];
    std::string why;
    TimelinePicture picture{message(run.name, ": one step of ", rule_label(run)), "", {}};
    put_trace_together(run.folder);
    const auto trace = read_trace((std::filesystem::path(run.folder) / "trace.json").string(), why);
    if (trace) {
      const int64_t step = typical_step(*trace);
      picture.groups.push_back(measured_step(*trace, step));
      picture.groups.back().name = message("measured, step ", step);
    } else {
      out += paragraph(message(run.name, ": no measured step; ", why, "."));
    }
    const auto replay = replay_of(run.folder, why);
    if (replay) {
      picture.groups.push_back(replay->timeline);
      picture.groups.back().name = "simulated from the costs that the run measured, with a core or GPU for every rank";
      picture.words = message("Simulated: a step takes ", duration(replay->steady.step), ", ranks idle ",
                              percent(replay->steady.idle_share), ". ");
    } else {
      out += paragraph(message(run.name, ": no simulated step; ", why, "."));
    }
    const double steps = static_cast<double>(run.rows.size());
    const double measured = steps > 0 ? run.seconds() / steps : 0;
    picture.words += message("Measured: a step takes ", duration(measured), " on average, ranks idle ",
                             percent(run.idle_share()), ".");
    if (!picture.groups.empty()) out += figure_of(picture) + paragraph(picture.words);
    if (!trace) continue;
    BarPicture bars{message(run.name, ": what ranks did, by time"),
                    {"computing", "waiting", "other"},
                    {},
                    "Measured over the recorded steps but the first. Other: between actions, as batches and reports."};
    Table sending{
        message(run.name, ": messages on their way while ranks computed or waited"), {"rank", "share of time"}, {}};
    const std::vector<RankShares> shares = shares_of(*trace);
    for (size_t rank = 0; rank < shares.size(); ++rank) {
      bars.rows.push_back({message("rank ", rank), {shares[rank].computing, shares[rank].waiting, shares[rank].other}});
      sending.rows.push_back({message(rank), percent(shares[rank].sending)});
    }
    out += figures(figure_of(bars) + "<div>" + html_of(sending) + "</div>");
  }
  if (runs.size() > most_timelines) out += paragraph("The steps of further runs are not drawn.");
  return out +
         "<p class=\"note\">Where ranks outnumber cores, a measured step holds waiting for a turn on a core; the "
         "simulated one does not.</p>\n";
}

std::string memory_section(const std::vector<RunRecord>& runs) {
  Table table{"Memory by rank", {"run", "rank", "peak of the process, measured", "tensors, as planned"}, {}};
  for (const RunRecord& run : runs) {
    std::string why;
    const auto replay = replay_of(run.folder, why);
    const nlohmann::json peaks =
        run.result.is_object() ? run.result.value("peak_rss_mib", nlohmann::json::array()) : nlohmann::json::array();
    for (size_t rank = 0; rank < peaks.size(); ++rank) {
      const bool planned = replay && rank < replay->steady.peak_bytes.size();
      table.rows.push_back({run.name, message(rank), significant(peaks[rank].get<double>()) + " MiB",
                            planned ? bytes(replay->steady.peak_bytes[rank]) : "-"});
    }
  }
  if (table.rows.empty()) return paragraph("Memory is told when a run ends; none of these has.");
  return html_of(table) +
         "<p class=\"note\">The process holds the program, its libraries and the data beside its tensors; ranks that "
         "are threads of one process share one peak.</p>\n";
}

std::string config_section(const std::vector<RunRecord>& runs) {
  std::string out;
  if (runs.size() > 1) {
    const Table differences = config_differences(runs);
    out = differences.rows.empty() ? paragraph("The configs of these runs are the same.")
                                   : "<div class=\"text\">" + html_of(differences) + "</div>";
  }
  for (const RunRecord& run : runs) {
    std::string lines;
    for (const auto& [key, value] : run.config) lines += key + " = " + value + "\n";
    out += "<details><summary>All keys of " + escaped(run.name) + "</summary><pre>" + escaped(lines) +
           "</pre></details>\n";
  }
  return out;
}

std::string method_section(const std::vector<RunRecord>& runs, const std::string& command) {
  Table table{"Where and by what these runs were made",
              {"run", "seed", "Interlock", "LibTorch", "host", "computed on", "messages", "began", "ended", "weights"},
              {}};
  for (const RunRecord& run : runs) {
    const auto& manifest = run.manifest;
    const auto said = [&](const char* key) {
      return manifest.is_object() && manifest.contains(key) && manifest[key].is_string()
                 ? manifest[key].get<std::string>()
                 : "-";
    };
    std::set<std::string> hosts;
    if (manifest.is_object() && manifest.contains("ranks"))
      for (const auto& rank : manifest["ranks"]) hosts.insert(rank.value("host", ""));
    const bool has_digest = run.result.is_object() && run.result.contains("digest") && run.result["digest"].is_string();
    table.rows.push_back(
        {run.name, run.text("run.seed", "1"), said("interlock"), said("libtorch"),
         hosts.empty() ? "-" : *hosts.begin() + (hosts.size() > 1 ? message(" and ", hosts.size() - 1, " more") : ""),
         said("device"), said("transport"), said("started"), said("ended"),
         has_digest ? run.result["digest"].get<std::string>().substr(0, 12) : "-"});
  }
  return "<div class=\"text\">" + html_of(table) + "</div>" + "<p>This page: <code>" + escaped(command) +
         "</code></p>\n";
}

}  // namespace

Table config_differences(const std::vector<RunRecord>& runs) {
  Table table{"Where the configs differ", {"key"}, {}};
  std::set<std::string> keys;
  for (const RunRecord& run : runs) {
    table.columns.push_back(run.name);
    for (const auto& [key, value] : run.config) keys.insert(key);
  }
  for (const std::string& key : keys) {
    if (key == "run.folder") continue;
    std::vector<std::string> row{key};
    for (const RunRecord& run : runs) {
      const auto found = run.config.find(key);
      row.push_back(found == run.config.end() ? "not set" : found->second);
    }
    const bool same =
        std::all_of(row.begin() + 1, row.end(), [&](const std::string& value) { return value == row[1]; });
    if (!same) table.rows.push_back(std::move(row));
  }
  return table;
}

std::string page_of_runs(const std::vector<RunRecord>& runs, const std::string& command) {
  const std::string title = runs.size() == 1 ? "Run " + runs.front().name : message(runs.size(), " runs");
  return page_of(title, lead_of(runs),
                 {{"Curves", curves_section(runs)},
                  {"One step", step_section(runs)},
                  {"Memory", memory_section(runs)},
                  {runs.size() > 1 ? "What differs" : "Config", config_section(runs)},
                  {"Method", method_section(runs, command)}});
}

}  // namespace interlock
