# Finds CAF 0.17.x, which Debian ships without a CMake package or a pkg-config file.
#
#   find_package(CAF 0.17.6 REQUIRED COMPONENTS core io)
#
# Defines CAF::core, CAF::io and CAF::openssl, the target names that CAF 1.x exports itself. They are IMPORTED, so
# their headers are system headers: CAF does not compile cleanly under our warnings otherwise.
include(FindPackageHandleStandardArgs)
find_package(Threads REQUIRED)

find_path(CAF_INCLUDE_DIR NAMES caf/config.hpp)
if(CAF_INCLUDE_DIR)
  file(STRINGS "${CAF_INCLUDE_DIR}/caf/config.hpp" caf_version_line REGEX "^#define CAF_VERSION [0-9]+")
  if(caf_version_line MATCHES "([0-9]+)$")
    math(EXPR caf_major "${CMAKE_MATCH_1} / 10000")
    math(EXPR caf_minor "(${CMAKE_MATCH_1} / 100) % 100")
    math(EXPR caf_patch "${CMAKE_MATCH_1} % 100")
    set(CAF_VERSION "${caf_major}.${caf_minor}.${caf_patch}")
  endif()
endif()

if(NOT CAF_FIND_COMPONENTS)
  set(CAF_FIND_COMPONENTS core io)
endif()
foreach(component IN LISTS CAF_FIND_COMPONENTS)
  find_library(CAF_${component}_LIBRARY NAMES caf_${component})
  mark_as_advanced(CAF_${component}_LIBRARY)
  if(CAF_${component}_LIBRARY)
    set(CAF_${component}_FOUND TRUE)
  endif()
endforeach()

find_package_handle_standard_args(CAF REQUIRED_VARS CAF_INCLUDE_DIR CAF_core_LIBRARY VERSION_VAR CAF_VERSION
                                  HANDLE_COMPONENTS)

function(troupe_caf_target component)
  if(NOT CAF_${component}_LIBRARY OR TARGET CAF::${component})
    return()
  endif()
  add_library(CAF::${component} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(CAF::${component} PROPERTIES IMPORTED_LOCATION "${CAF_${component}_LIBRARY}"
                                                     INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}")
  target_link_libraries(CAF::${component} INTERFACE ${ARGN})
endfunction()

if(CAF_FOUND)
  troupe_caf_target(core Threads::Threads)
  troupe_caf_target(io CAF::core)
  if("openssl" IN_LIST CAF_FIND_COMPONENTS)
    find_package(OpenSSL REQUIRED)
    troupe_caf_target(openssl CAF::io OpenSSL::SSL OpenSSL::Crypto)
  endif()
endif()
