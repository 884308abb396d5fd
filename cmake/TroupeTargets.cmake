# What every target of ours gets, and nobody who uses the installed package: warnings as errors, the sanitizers that
# were asked for, a fast linker when present.
add_library(troupe_options INTERFACE)
target_include_directories(troupe_options INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
target_compile_options(
  troupe_options INTERFACE "$<BUILD_INTERFACE:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wold-style-cast;-Wnon-virtual-dtor;-Werror>")
# g++ 12 reports -Wrestrict for "text" + std::to_string(x) at -O2 (GCC PR 105651); the warning is wrong.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(troupe_options INTERFACE $<BUILD_INTERFACE:-Wno-restrict>)
endif()
# A message without a type id is a compile error instead of an empty message at run time.
target_compile_definitions(troupe_options INTERFACE $<BUILD_INTERFACE:CAF_ENABLE_TYPE_ID_CHECKS>)

if(TROUPE_SANITIZE)
  add_compile_options(-fsanitize=${TROUPE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TROUPE_SANITIZE})
  # g++ 12 with a sanitizer takes what std::regex initializes for uninitialized.
  add_compile_options(-Wno-maybe-uninitialized)
  if(TROUPE_SANITIZE MATCHES "undefined")
    # CAF's own headers form references through null pointers (init_fun_factory.hpp).
    add_compile_options(-fno-sanitize=null,vptr -fno-sanitize-recover=undefined)
  endif()
endif()

find_program(TROUPE_MOLD mold)
find_program(TROUPE_LLD ld.lld)
if(TROUPE_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(TROUPE_LLD)
  add_link_options(-fuse-ld=lld)
endif()

find_program(TROUPE_CCACHE ccache)
if(TROUPE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TROUPE_CCACHE})
endif()

# troupe_library(name SOURCES... LINK targets...): one static library of ours.
function(troupe_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC troupe_options ${arg_LINK})
endfunction()
