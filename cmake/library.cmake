# SPDX-License-Identifier: Apache-2.0
# libstet, twice, of the same objects. Both show the names of vmm/stet.map and no other.
set(STET_MAP ${CMAKE_SOURCE_DIR}/vmm/stet.map)

# An archive has no version script, and its inner names (log_line, error_set, ...) could meet those of
# the program that links it: so it holds one object in which they are local.
set(stet_object ${CMAKE_BINARY_DIR}/libstet.o)
add_custom_command(
  OUTPUT ${stet_object}
  COMMAND ${CMAKE_LINKER} -r -o ${stet_object}.all $<TARGET_OBJECTS:stet_objects>
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${stet_object}.all ${stet_object}
  COMMAND ${CMAKE_COMMAND} -E rm ${stet_object}.all
  DEPENDS stet_objects $<TARGET_OBJECTS:stet_objects>
  COMMAND_EXPAND_LISTS VERBATIM)
add_library(stet_static STATIC ${stet_object})
set_target_properties(stet_static PROPERTIES
  OUTPUT_NAME stet LINKER_LANGUAGE C EXPORT_NAME static POSITION_INDEPENDENT_CODE ON)
# By name for others: they choose between liburing's own archive and shared library.
target_link_libraries(stet_static PRIVATE $<BUILD_INTERFACE:PkgConfig::LIBURING>
                      $<INSTALL_INTERFACE:uring> Threads::Threads)

# soname 0 until the interface is stable. A fully static build has no use for it.
if(NOT STET_STATIC)
  add_library(stet_shared SHARED $<TARGET_OBJECTS:stet_objects>)
  set_target_properties(stet_shared PROPERTIES
    OUTPUT_NAME stet SOVERSION 0 VERSION ${PROJECT_VERSION} EXPORT_NAME stet LINKER_LANGUAGE C
    LINK_DEPENDS ${STET_MAP})
  target_link_options(stet_shared PRIVATE -Wl,--version-script=${STET_MAP})
  target_link_libraries(stet_shared PRIVATE $<BUILD_INTERFACE:PkgConfig::LIBURING> Threads::Threads)
endif()

foreach(library stet_static stet_shared)
  if(TARGET ${library})
    target_include_directories(${library} INTERFACE
      $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/vmm> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    set_target_properties(${library} PROPERTIES ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
                          LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  endif()
endforeach()
