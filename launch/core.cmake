# Settings of a run, and what is told about a plan.
interlock_library(interlock_launch_core TORCH
  SOURCES settings.cpp plan_comparison.cpp plan_memory.cpp plan_costs.cpp plan_report.cpp plan_report_json.cpp timeline.cpp timeline_svg.cpp
  LINK interlock_plan interlock_transport interlock_data interlock_storage interlock_core nlohmann_json::nlohmann_json)
