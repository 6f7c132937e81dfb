# The vocabulary of the build: a room is one static library, a test is one program.

# A build that is there for some tests alone (the preset release-tests: those with the label attack).
# Programs of the other tests are not built and their tests are not registered.
set(CIS_ONLY_LABEL "" CACHE STRING "register tests with this label only; empty: all tests")
if(CIS_ONLY_LABEL)
    # Tests that are not made by this vocabulary have no such label, and CMake refuses properties of tests
    # that are not registered.
    function(add_test)
        if(_cis_registers)
            _add_test(${ARGV})
        endif()
    endfunction()
    function(set_tests_properties)
        list(FIND ARGV PROPERTIES at)
        math(EXPR last "${ARGC} - 1")
        set(properties "")
        foreach(i RANGE ${at} ${last}) # quoted one by one: values hold semicolons
            string(APPEND properties " [==[${ARGV${i}}]==]")
        endforeach()
        list(SUBLIST ARGV 0 ${at} tests)
        foreach(test IN LISTS tests)
            if(TEST ${test})
                cmake_language(EVAL CODE "_set_tests_properties(${test} ${properties})")
            endif()
        endforeach()
    endfunction()
endif()

# _cis_left_out(OUT LABELS...): is a test with these labels not part of this build?
function(_cis_left_out out)
    if(CIS_ONLY_LABEL AND NOT CIS_ONLY_LABEL IN_LIST ARGN)
        set(${out} ON PARENT_SCOPE)
    else()
        set(${out} OFF PARENT_SCOPE)
    endif()
endfunction()

# cis_layers(FILE): reads src/LAYERS, the one place that says what a room may include, and so links.
function(cis_layers file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} lines)
    foreach(line ${lines})
        if(line STREQUAL "[foreign]")
            break()
        elseif(line MATCHES "^([a-z0-9/]+):(.*)$")
            set(room ${CMAKE_MATCH_1})
            string(REPLACE " " ";" needs "${CMAKE_MATCH_2}")
            list(REMOVE_ITEM needs "")
            list(TRANSFORM needs PREPEND cis_)
            list(TRANSFORM needs REPLACE "/" "_")
            set_property(GLOBAL APPEND PROPERTY CIS_LAYERS ${room})
            set_property(GLOBAL PROPERTY CIS_NEEDS_${room} "${needs}")
        endif()
    endforeach()
endfunction()

# cis_needs(OUT ROOM): the libraries of the rooms that ROOM needs.
function(cis_needs out room)
    get_property(needs GLOBAL PROPERTY CIS_NEEDS_${room})
    set(${out} ${needs} PARENT_SCOPE)
endfunction()

# cis_sources(OUT): the C files of this folder; a new one is seen by the next build.
macro(cis_sources out)
    file(GLOB ${out} CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
endmacro()

# cis_room(NAME [SOURCES generated ...] [LIBS target ...])
#   The C files of this folder as a library that links the rooms which src/LAYERS lets it include.
function(cis_room name)
    cmake_parse_arguments(R "" "" "SOURCES;LIBS" ${ARGN})
    string(REPLACE "/" "_" target ${name})
    cis_sources(sources)
    add_library(cis_${target} STATIC ${sources} ${R_SOURCES})
    target_include_directories(cis_${target} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include
        ${CMAKE_BINARY_DIR}/include)
    cis_needs(needs ${name})
    target_link_libraries(cis_${target} PUBLIC ${needs} ${R_LIBS} Threads::Threads)
    set_property(GLOBAL APPEND PROPERTY CIS_ROOM_TARGETS cis_${target})
endfunction()

# cis_postgres_in_acceptance(): at the end of a folder of tests. What is above the store is the same
# code on both databases: `make check` runs it on both in the ordinary build, and in the others on
# SQLite; `make acceptance` runs the rest.
function(cis_postgres_in_acceptance)
    if(NOT CIS_SANITIZE AND NOT CIS_ONLY_LABEL)
        return()
    endif()
    get_property(tests DIRECTORY PROPERTY TESTS)
    list(FILTER tests INCLUDE REGEX "_postgres$")
    if(tests)
        set_tests_properties(${tests} PROPERTIES LABELS acceptance)
    endif()
endfunction()

# cis_test(NAME SOURCES ... [ROOMS room ...] [LIBS target ...] [LABELS quick|full|torture|acceptance|attack]
#          [TIMEOUT seconds] [ARGS ...] [ENVIRONMENT K=V ...] [GUESTS guest ...])
#   A test with the label attack also runs on a release build.
#   One cmocka program registered with CTest. GUESTS are built first; their folder is CIS_GUESTS_DIR.
function(cis_test name)
    cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;ROOMS;LIBS;LABELS;ARGS;ENVIRONMENT;GUESTS" ${ARGN})
    if(NOT TARGET cis_test_signal)
        add_library(cis_test_signal OBJECT ${CMAKE_SOURCE_DIR}/tests/tools/signal.c)
    endif()
    add_executable(${name} ${T_SOURCES} $<TARGET_OBJECTS:cis_test_signal>)
    foreach(room ${T_ROOMS})
        string(REPLACE "/" "_" room ${room})
        target_link_libraries(${name} PRIVATE cis_${room})
    endforeach()
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE ${T_LIBS} PkgConfig::CMOCKA Threads::Threads)
    target_compile_definitions(${name} PRIVATE
        CIS_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
        CIS_GUESTS_DIR="${CMAKE_BINARY_DIR}/guests" CIS_PROGRAM="${CMAKE_BINARY_DIR}/bin/cis")
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    foreach(guest ${T_GUESTS})
        add_dependencies(${name} guest_${guest})
    endforeach()
    if(NOT T_LABELS)
        set(T_LABELS quick)
    endif()
    _cis_left_out(left_out ${T_LABELS})
    if(left_out)
        set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
        return()
    endif()
    set(_cis_registers ON)
    add_test(NAME ${name} COMMAND ${name} ${T_ARGS})
    # Only a hang ends a test: a busy machine may take many times as long as an idle one, and what a
    # test itself waits for has ten minutes (tests/waits.h).
    if(NOT T_TIMEOUT OR T_TIMEOUT LESS 900)
        set(T_TIMEOUT 900)
    endif()
    if(CIS_SANITIZE)
        math(EXPR T_TIMEOUT "${T_TIMEOUT} * 4")
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}"
        ENVIRONMENT "${T_ENVIRONMENT}")
endfunction()

# cis_torture(TEST ARGS...): the program of an ordinary test with the arguments of its long form,
#   registered as TEST_torture for `make torture` only.
function(cis_torture name)
    if(CIS_ONLY_LABEL)
        return()
    endif()
    add_test(NAME ${name}_torture COMMAND ${name} ${ARGN})
    set_tests_properties(${name}_torture PROPERTIES TIMEOUT 14400 LABELS torture RUN_SERIAL ON)
endfunction()

# cis_script_test(NAME COMMAND ... [LABELS ...] [TIMEOUT s]): any program that exits 0 when it passes.
function(cis_script_test name)
    cmake_parse_arguments(T "" "TIMEOUT" "COMMAND;LABELS;ENVIRONMENT;GUESTS" ${ARGN})
    if(NOT T_LABELS)
        set(T_LABELS quick)
    endif()
    _cis_left_out(left_out ${T_LABELS})
    if(left_out)
        return()
    endif()
    set(_cis_registers ON)
    add_test(NAME ${name} COMMAND ${T_COMMAND})
    if(T_GUESTS)
        add_custom_target(guests_of_${name} ALL)
        list(TRANSFORM T_GUESTS PREPEND guest_)
        add_dependencies(guests_of_${name} ${T_GUESTS})
    endif()
    if(NOT T_TIMEOUT OR T_TIMEOUT LESS 900)
        set(T_TIMEOUT 900)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}"
        ENVIRONMENT "CIS_PROGRAM=${CMAKE_BINARY_DIR}/bin/cis;CIS_GUESTS_DIR=${CMAKE_BINARY_DIR}/guests;CIS_SOURCE_DIR=${CMAKE_SOURCE_DIR};CIS_BUILD_DIR=${CMAKE_BINARY_DIR};${T_ENVIRONMENT}")
endfunction()
