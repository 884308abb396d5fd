# The package of Troupe: the target troupe::troupe, which brings everything along.
#
# Whatever is missing makes the package not found: an error with find_package(troupe REQUIRED), silence with QUIET.
include(CMakeFindDependencyMacro)

# find_dependency() returns from this file where something is missing, so the caller's path is changed for one call only,
# whose outcome is looked at afterwards.
set(troupe_module_path "${CMAKE_MODULE_PATH}")
list(PREPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}") # FindCAF.cmake
find_package(CAF 0.17.6 QUIET COMPONENTS core io)
set(CMAKE_MODULE_PATH "${troupe_module_path}")
unset(troupe_module_path)
if(NOT CAF_FOUND)
  set(troupe_FOUND FALSE)
  set(troupe_NOT_FOUND_MESSAGE "troupe needs the C++ Actor Framework 0.17.6 (libcaf-dev), which was not found.")
  return()
endif()

find_dependency(PkgConfig)
find_dependency(OpenSSL COMPONENTS Crypto)
find_dependency(Protobuf)
find_dependency(spdlog)
find_dependency(tl-expected)
find_dependency(nlohmann_json)
find_dependency(tomlplusplus)
find_dependency(prometheus-cpp)

# The names of these targets are those that the libraries were built with.
macro(troupe_find_by_pkg_config target module)
  if(NOT TARGET PkgConfig::${target})
    pkg_check_modules(${target} QUIET IMPORTED_TARGET GLOBAL ${module})
  endif()
  if(NOT TARGET PkgConfig::${target})
    set(troupe_FOUND FALSE)
    set(troupe_NOT_FOUND_MESSAGE "troupe needs ${module}, which pkg-config does not find.")
    return()
  endif()
endmacro()
troupe_find_by_pkg_config(httplib cpp-httplib)
troupe_find_by_pkg_config(xxhash libxxhash)
troupe_find_by_pkg_config(rocksdb rocksdb)

include(${CMAKE_CURRENT_LIST_DIR}/troupe-targets.cmake)
if(NOT TARGET troupe::troupe)
  add_library(troupe::troupe INTERFACE IMPORTED)
  target_link_libraries(troupe::troupe INTERFACE troupe::runtime troupe::protocol)
  target_compile_features(troupe::troupe INTERFACE cxx_std_20)
endif()
