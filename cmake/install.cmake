# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: libraries, <stet.h>, pkg-config and CMake packages, the manual,
# completions. The program's rule is in tools/stet.
include(CMakePackageConfigHelpers)
set(STET_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/stet)

install(TARGETS stet_static EXPORT stet ARCHIVE)
if(TARGET stet_shared)
  install(TARGETS stet_shared EXPORT stet LIBRARY)
endif()
install(EXPORT stet NAMESPACE stet:: FILE stetTargets.cmake DESTINATION ${STET_CMAKE_DIR})
install(FILES vmm/stet.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# Relative to where it lies: the tree can be installed under any prefix and moved.
file(RELATIVE_PATH STET_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/stet.pc.in stet.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/stet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/stetConfig.cmake.in stetConfig.cmake
                              INSTALL_DESTINATION ${STET_CMAKE_DIR})
write_basic_package_version_file(stetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/stetConfig.cmake ${CMAKE_BINARY_DIR}/stetConfigVersion.cmake
        DESTINATION ${STET_CMAKE_DIR})

install(FILES docs/man/stet.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES tools/completion/stet.bash RENAME stet
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES tools/completion/_stet DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES tools/completion/stet.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
