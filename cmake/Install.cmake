# What `cmake --install` puts under its prefix. Components:
#   program       the program, its CUDA module where there is one, configs, templates for clusters, completion for shells, licence
#   development   libraries, headers and a CMake package: find_package(Interlock)
#   libtorch      LibTorch itself, for a prefix that is moved to a machine without it; only when asked for by name
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(shared "${CMAKE_INSTALL_DATADIR}/interlock")
set(own_libraries lib/interlock)  # where runtime/device looks for the CUDA module

# Beside the program's prefix first, so that a prefix with LibTorch in it can be moved; else where it was built against.
file(RELATIVE_PATH to_libraries "/${CMAKE_INSTALL_BINDIR}" "/${own_libraries}")
set_target_properties(interlock PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON INSTALL_RPATH "$ORIGIN/${to_libraries}/libtorch/torch/lib")
install(TARGETS interlock RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
if(TARGET interlock_cuda)
  set_target_properties(interlock_cuda PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON INSTALL_RPATH "$ORIGIN/libtorch/torch/lib")
  # Optional: launch/quickstart builds the program alone.
  install(TARGETS interlock_cuda LIBRARY DESTINATION "${own_libraries}" COMPONENT program OPTIONAL)
endif()
install(DIRECTORY launch/configs launch/cluster DESTINATION "${shared}" COMPONENT program USE_SOURCE_PERMISSIONS)
install(FILES README.md LICENSE CITATION.cff DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)

# Made by the program that is installed.
install(CODE "
  foreach(script \"bash:${CMAKE_INSTALL_DATADIR}/bash-completion/completions/interlock\" \"zsh:${CMAKE_INSTALL_DATADIR}/zsh/site-functions/_interlock\")
    string(REPLACE \":\" \";\" script \"\${script}\")
    list(POP_FRONT script shell)
    execute_process(COMMAND \"${PROJECT_BINARY_DIR}/interlock\" completion \${shell} OUTPUT_VARIABLE text RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR \"interlock completion \${shell} failed: \${failed}\")
    endif()
    set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${script}\")
    message(STATUS \"Installing: \${file}\")
    file(WRITE \"\${file}\" \"\${text}\")
  endforeach()" COMPONENT program)

# The package. Names in it are those of the build, with Interlock:: before them.
get_property(libraries GLOBAL PROPERTY INTERLOCK_LIBRARIES)
list(APPEND libraries interlock_settings interlock_heap)
list(REMOVE_ITEM libraries interlock_nccl_calls)  # linked by the CUDA module alone
foreach(library IN LISTS libraries)
  string(REGEX REPLACE "^interlock_" "" name ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
endforeach()
set(package lib/cmake/Interlock)
install(TARGETS ${libraries} EXPORT InterlockTargets
  ARCHIVE DESTINATION "${own_libraries}" COMPONENT development
  OBJECTS DESTINATION "${own_libraries}" COMPONENT development)
install(EXPORT InterlockTargets NAMESPACE Interlock:: DESTINATION "${package}" COMPONENT development)
foreach(room runtime models parallel techniques launch)
  install(DIRECTORY ${room} DESTINATION include/interlock COMPONENT development FILES_MATCHING PATTERN "*.h")
endforeach()
list(TRANSFORM INTERLOCK_PROGRAM REPLACE "^interlock_" "Interlock::" OUTPUT_VARIABLE program_parts)
list(JOIN program_parts " " INTERLOCK_PROGRAM_PARTS)
configure_package_config_file(cmake/InterlockConfig.cmake.in "${PROJECT_BINARY_DIR}/package/InterlockConfig.cmake"
  INSTALL_DESTINATION "${package}")
# 0.x: every minor version may break what was.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/InterlockConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/package/InterlockConfig.cmake" "${PROJECT_BINARY_DIR}/package/InterlockConfigVersion.cmake"
  cmake/FindLibTorch.cmake DESTINATION "${package}" COMPONENT development)

# CMake 3.25 counts the precompiled headers of object libraries among their objects: half a gigabyte each that no linker takes.
install(CODE [[
  set(prefix "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
  file(GLOB_RECURSE headers "${prefix}/lib/interlock/*.gch")
  if(headers)
    file(REMOVE ${headers})
  endif()
  file(GLOB lists "${prefix}/lib/cmake/Interlock/InterlockTargets-*.cmake")
  foreach(list IN LISTS lists)
    file(READ "${list}" text)
    string(REGEX REPLACE "[^;\" ]*\\.gch;?" "" text "${text}")
    file(WRITE "${list}" "${text}")
  endforeach()]] COMPONENT development)

# As it lies in its folder: its libraries find each other by relative paths.
install(DIRECTORY "${LIBTORCH_PREFIX}/torch" "${LIBTORCH_PREFIX}/nvidia" DESTINATION "${own_libraries}/libtorch" COMPONENT libtorch
  EXCLUDE_FROM_ALL USE_SOURCE_PERMISSIONS PATTERN "include" EXCLUDE PATTERN "*.a" EXCLUDE PATTERN "share" EXCLUDE PATTERN "bin" EXCLUDE)
