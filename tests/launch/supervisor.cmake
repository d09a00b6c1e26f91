interlock_test(launch_output_test SOURCES launcher_output_test.cpp LINK interlock_supervisor)

add_executable(launch_supervised supervised.cpp)
target_link_libraries(launch_supervised PRIVATE interlock_stop_request interlock_supervisor)
foreach(subject supervisor stop_request)
  interlock_test(launch_${subject}_test TIMEOUT 240 SOURCES ${subject}_test.cpp LINK util)
  add_dependencies(launch_${subject}_test launch_supervised)
  target_compile_definitions(launch_${subject}_test PRIVATE
    INTERLOCK_SUPERVISED_PROGRAM="$<TARGET_FILE:launch_supervised>")
endforeach()

interlock_test(launch_checks_test SOURCES checks_test.cpp LINK interlock_checks)
target_compile_definitions(launch_checks_test PRIVATE INTERLOCK_SOURCE="${PROJECT_SOURCE_DIR}")

add_test(NAME launch_slurm_test COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/slurm_test.sh
  ${PROJECT_SOURCE_DIR}/launch/cluster/slurm.sbatch)
set_tests_properties(launch_slurm_test PROPERTIES LABELS everyday TIMEOUT 60)
