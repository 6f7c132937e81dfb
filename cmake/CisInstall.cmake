# libcis as a shared and a static library, pkg-config files, generated pages, and what `install` puts
# where. Left out under sanitizers: such a library is for nobody to link.
if(NOT TARGET cis OR CIS_SANITIZE OR CIS_COVERAGE)
    return()
endif()
get_property(_cis_all_rooms GLOBAL PROPERTY CIS_ROOM_TARGETS)
# The rooms of the library: those that lib/ stands on. Others are the program's alone, with their
# foreign libraries.
set(_cis_rooms "")
set(_cis_next cis_lib)
while(_cis_next)
    list(POP_FRONT _cis_next _room)
    if(_room IN_LIST _cis_all_rooms AND NOT _room IN_LIST _cis_rooms)
        list(APPEND _cis_rooms ${_room})
        get_target_property(_needs ${_room} LINK_LIBRARIES)
        list(APPEND _cis_next ${_needs})
    endif()
endwhile()

# Shared: every room whole, so that each CIS_API function is there, and nothing else is exported.
# The engine archive exports its own C API unless told otherwise.
file(WRITE ${CMAKE_BINARY_DIR}/libcis.map "CIS_${CIS_SOVERSION} {\n    global: cis_*;\n    local: *;\n};\n")
file(WRITE ${CMAKE_BINARY_DIR}/libcis.c "/* A library needs a source; all code is in the rooms. */\nextern int cis_library_has_no_code_of_its_own;\n")
add_library(cis_shared SHARED ${CMAKE_BINARY_DIR}/libcis.c)
set(_cis_whole "")
foreach(_room ${_cis_rooms})
    list(APPEND _cis_whole $<TARGET_FILE:${_room}>)
    add_dependencies(cis_shared ${_room})
endforeach()
target_link_options(cis_shared PRIVATE -Wl,--version-script=${CMAKE_BINARY_DIR}/libcis.map
    -Wl,--exclude-libs,libcis_engine.a -Wl,--whole-archive ${_cis_whole} -Wl,--no-whole-archive)
target_link_libraries(cis_shared PRIVATE cis_lib)
set_target_properties(cis_shared PROPERTIES OUTPUT_NAME cis VERSION ${PROJECT_VERSION}
    SOVERSION ${CIS_SOVERSION} LINK_DEPENDS ${CMAKE_BINARY_DIR}/libcis.map)

# Static: the rooms in one archive; the engine's archive is beside it.
set(_cis_static ${CMAKE_BINARY_DIR}/libcis.a)
set(_cis_script "create ${_cis_static}\n")
foreach(_room ${_cis_rooms})
    string(APPEND _cis_script "addlib $<TARGET_FILE:${_room}>\n")
endforeach()
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/libcis.mri CONTENT "${_cis_script}save\nend\n")
add_custom_command(OUTPUT ${_cis_static}
    COMMAND ${CMAKE_AR} -M < ${CMAKE_BINARY_DIR}/libcis.mri
    DEPENDS ${_cis_rooms} ${CMAKE_BINARY_DIR}/libcis.mri COMMENT "libcis.a")
add_custom_target(cis_static ALL DEPENDS ${_cis_static})

# What the static library needs, by pkg-config name (tests/install links with exactly this).
set(CIS_PC_REQUIRES "libsodium jansson sqlite3 libpq libcurl libcares libarchive libzstd")
file(RELATIVE_PATH CIS_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
foreach(_pc cis cis-static)
    configure_file(${CMAKE_SOURCE_DIR}/cmake/${_pc}.pc.in ${CMAKE_BINARY_DIR}/${_pc}.pc @ONLY)
endforeach()

# Man pages and completion, printed by the program itself.
if(TARGET cis)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/man/.stamp
        COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:cis> -DOUT=${CMAKE_BINARY_DIR}
            -P ${CMAKE_SOURCE_DIR}/cmake/GeneratePages.cmake
        DEPENDS cis ${CMAKE_SOURCE_DIR}/cmake/GeneratePages.cmake COMMENT "man pages, completion")
    add_custom_target(cis_pages ALL DEPENDS ${CMAKE_BINARY_DIR}/man/.stamp)
    install(TARGETS cis RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(DIRECTORY ${CMAKE_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        FILES_MATCHING PATTERN "*.1")
    install(FILES ${CMAKE_BINARY_DIR}/cis.html DESTINATION ${CMAKE_INSTALL_DOCDIR})
    install(FILES ${CMAKE_BINARY_DIR}/completion/cis
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${CMAKE_BINARY_DIR}/completion/_cis
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

install(TARGETS cis_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${_cis_static} $<TARGET_PROPERTY:cis_engine_lib,IMPORTED_LOCATION>
    DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/cis ${CMAKE_BINARY_DIR}/include/cis
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} PATTERN "*.in" EXCLUDE)
install(FILES ${CMAKE_BINARY_DIR}/cis.pc ${CMAKE_BINARY_DIR}/cis-static.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}
    FILES_MATCHING PATTERN "*.md")
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CIS_ENGINE_LICENSE} DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.wasmtime OPTIONAL)
install(FILES ${CMAKE_SOURCE_DIR}/src/skillabi/wit/cis-skill.wit DESTINATION ${CMAKE_INSTALL_DATADIR}/cis/wit)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sdk DESTINATION ${CMAKE_INSTALL_DATADIR}/cis)
