# cis_late(TARGET lib ...): libraries that most commands never call are loaded at the first call into
# them. Fifty libraries stand behind these few; loading them took longer than a small program runs.
#
# For each function that such a library exports the target gets one of the same name, which finds the
# library's own and jumps there; so the linker has no need of the library (--as-needed). Programs
# alone are linked like this: libcis is linked as usual. Where the jump is not written for the
# processor, or under sanitizers (they look into libraries at the start), nothing is late.
set(_cis_late_default OFF)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CIS_SANITIZE AND NOT CIS_COVERAGE)
    set(_cis_late_default ON)
endif()
option(CIS_LATE "load libraries that most commands never call at the first call" ${_cis_late_default})

function(_cis_late_source lib out)
    find_library(CIS_LATE_${lib} ${lib} REQUIRED)
    execute_process(COMMAND ${CMAKE_NM} -D --defined-only ${CIS_LATE_${lib}} OUTPUT_VARIABLE symbols
        COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${CIS_LATE_${lib}} OUTPUT_VARIABLE headers
        COMMAND_ERROR_IS_FATAL ANY)
    if(NOT headers MATCHES "SONAME +([^ \n]+)")
        message(FATAL_ERROR "${CIS_LATE_${lib}} has no name")
    endif()
    set(soname ${CMAKE_MATCH_1})
    string(REGEX MATCHALL " [TWi] [A-Za-z_][A-Za-z0-9_]*" symbols "${symbols}")
    list(TRANSFORM symbols REPLACE "^ [TWi] " "")
    list(FILTER symbols EXCLUDE REGEX "^_(init|fini)$")
    list(REMOVE_DUPLICATES symbols)
    list(LENGTH symbols count)
    set(names "")
    set(stubs "")
    set(i 0)
    foreach(symbol IN LISTS symbols)
        string(APPEND names "    \"${symbol}\",\n")
        string(APPEND stubs "    \"late ${symbol}, ${i}\\n\"\n")
        math(EXPR i "${i} + 1")
    endforeach()
    configure_file(${CMAKE_SOURCE_DIR}/cmake/late.c.in ${out} @ONLY)
endfunction()

function(cis_late target)
    if(NOT CIS_LATE)
        return()
    endif()
    foreach(lib ${ARGN})
        set(source ${CMAKE_BINARY_DIR}/late/${lib}.c)
        _cis_late_source(${lib} ${source})
        target_sources(${target} PRIVATE ${source})
    endforeach()
    target_link_options(${target} PRIVATE -Wl,--as-needed)
endfunction()
