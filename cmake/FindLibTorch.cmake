# Finds LibTorch as laid out by the `torch` wheel: PREFIX/torch/{lib,include} beside PREFIX/nvidia (launch/setup makes that).
# The wheel's own TorchConfig.cmake is not used: it probes the CUDA toolkit and fails hard on a machine without one.
#
#   LIBTORCH_PREFIX   the folder that holds torch/ and nvidia/ (cache or environment)
#   LibTorch::cpu     c10 + torch_cpu; needs no CUDA beyond the run-time and CUPTI wheels
#   LibTorch::cuda    c10_cuda + torch_cuda, when component `cuda` is asked for and present
set(_libtorch_version 2.11.0)
if(DEFINED ENV{XDG_CACHE_HOME})
  set(_libtorch_cache "$ENV{XDG_CACHE_HOME}/interlock")
else()
  set(_libtorch_cache "$ENV{HOME}/.cache/interlock")
endif()
if(DEFINED ENV{INTERLOCK_CACHE})
  set(_libtorch_cache "$ENV{INTERLOCK_CACHE}")
endif()
find_path(LIBTORCH_PREFIX torch/include/ATen/core/Tensor.h
  HINTS ENV LIBTORCH_PREFIX "${_libtorch_cache}/libtorch-${_libtorch_version}" NO_DEFAULT_PATH
  DOC "folder that holds torch/ and nvidia/ as the wheels lay them out")

foreach(_name c10 torch_cpu c10_cuda torch_cuda)
  find_library(LIBTORCH_${_name} ${_name} HINTS "${LIBTORCH_PREFIX}/torch/lib" NO_DEFAULT_PATH)
  mark_as_advanced(LIBTORCH_${_name})
endforeach()
if(LIBTORCH_c10 AND LIBTORCH_torch_cpu)
  set(LibTorch_cpu_FOUND TRUE)
endif()
if(LIBTORCH_c10_cuda AND LIBTORCH_torch_cuda)
  set(LibTorch_cuda_FOUND TRUE)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LIBTORCH_PREFIX LIBTORCH_c10 LIBTORCH_torch_cpu HANDLE_COMPONENTS
  REASON_FAILURE_MESSAGE "run launch/setup, or set LIBTORCH_PREFIX to the folder that holds torch/ and nvidia/")

function(_libtorch_import target library)
  add_library(${target} SHARED IMPORTED)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION "${library}"
    INTERFACE_INCLUDE_DIRECTORIES
      "${LIBTORCH_PREFIX}/torch/include;${LIBTORCH_PREFIX}/torch/include/torch/csrc/api/include"
    INTERFACE_LINK_OPTIONS "-Wl,--allow-shlib-undefined")
  if(ARGN)
    target_link_libraries(${target} INTERFACE ${ARGN})
  endif()
endfunction()

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  _libtorch_import(LibTorch::c10 "${LIBTORCH_c10}")
  _libtorch_import(LibTorch::cpu "${LIBTORCH_torch_cpu}" LibTorch::c10)
  if(LibTorch_cuda_FOUND)
    _libtorch_import(LibTorch::c10_cuda "${LIBTORCH_c10_cuda}" LibTorch::c10)
    _libtorch_import(LibTorch::cuda "${LIBTORCH_torch_cuda}" LibTorch::c10_cuda LibTorch::cpu)
  endif()
endif()
mark_as_advanced(LIBTORCH_PREFIX)
