# Settings of a run, and what is told about a plan.
interlock_test(launch_settings_test SOURCES settings_test.cpp LINK interlock_run ${INTERLOCK_PLUGINS})
target_compile_definitions(launch_settings_test PRIVATE CONFIGS="${PROJECT_SOURCE_DIR}/launch/configs")
interlock_test(launch_timeline_test SOURCES timeline_test.cpp LINK interlock_launch_core interlock_schedules)
interlock_test(launch_plan_report_test SOURCES plan_report_test.cpp LINK interlock_launch_core interlock_schedules)
