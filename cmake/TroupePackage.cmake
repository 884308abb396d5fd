# What `cmake --install` puts under the prefix: the program, the headers of the API, the libraries behind it, and the
# package, for
#
#   find_package(troupe REQUIRED)
#   target_link_libraries(my_service PRIVATE troupe::troupe)
include(CMakePackageConfigHelpers)

# The only installed headers: the API, and the words that it shares with the protocol. Free of protobuf; of CAF too, but
# for troupe/caf.hpp.
install(DIRECTORY runtime/include/ protocol/include/ DESTINATION include)

set(troupe_installed options wire base protocol check actors stores memory_table topology pending runtime)
foreach(name IN LISTS troupe_installed)
  set_target_properties(troupe_${name} PROPERTIES EXPORT_NAME ${name})
endforeach()
list(TRANSFORM troupe_installed PREPEND troupe_)
install(TARGETS ${troupe_installed} EXPORT troupe ARCHIVE DESTINATION lib/troupe)
set(package_directory lib/cmake/troupe)
install(EXPORT troupe NAMESPACE troupe:: FILE troupe-targets.cmake DESTINATION ${package_directory})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/troupe-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/troupe-config.cmake cmake/FindCAF.cmake ${PROJECT_BINARY_DIR}/troupe-config-version.cmake
        DESTINATION ${package_directory})
