# Test guests: built with the system's clang for WebAssembly, wat2wasm and Go into
# ${CMAKE_BINARY_DIR}/guests, one target guest_NAME each. cis_test(... GUESTS NAME) builds what it needs.
find_program(CIS_WASM_CC NAMES clang-14 clang)
find_program(CIS_WASM_LD NAMES wasm-ld-14 wasm-ld)
find_program(CIS_WAT2WASM wat2wasm)
find_program(CIS_WASM2WAT wasm2wat)
find_program(CIS_GO go HINTS /usr/local/go/bin)
set(CIS_GUEST_OUT ${CMAKE_BINARY_DIR}/guests)
file(MAKE_DIRECTORY ${CIS_GUEST_OUT})

function(_cis_guest_target name output)
    add_custom_target(guest_${name} DEPENDS ${output})
    set_property(GLOBAL APPEND PROPERTY CIS_GUESTS ${name})
endfunction()

# cis_guest(NAME SOURCES x.c ... [FREESTANDING] [FLAGS ...])
#   wasm32-wasi command by default; FREESTANDING: no libc, no entry, wasm32 only.
function(cis_guest name)
    cmake_parse_arguments(G "FREESTANDING" "" "SOURCES;FLAGS" ${ARGN})
    set(target --target=wasm32-wasi)
    if(G_FREESTANDING)
        set(target --target=wasm32 -nostdlib -ffreestanding -Wl,--no-entry)
    endif()
    set(sources)
    foreach(source ${G_SOURCES})
        get_filename_component(source ${source} ABSOLUTE)
        list(APPEND sources ${source})
    endforeach()
    file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
    set(output ${CIS_GUEST_OUT}/${name}.wasm)
    add_custom_command(OUTPUT ${output}
        COMMAND ${CIS_WASM_CC} ${target} -O2 -g0 -Wall -I${CMAKE_SOURCE_DIR}/tests/guests
                ${G_FLAGS} ${sources} -o ${output}
        DEPENDS ${sources} ${headers} COMMENT "guest ${name}" VERBATIM)
    _cis_guest_target(${name} ${output})
endfunction()

# cis_guest_wat(NAME x.wat): binary, and the text beside it (the loader takes both).
function(cis_guest_wat name source)
    get_filename_component(source ${source} ABSOLUTE)
    set(output ${CIS_GUEST_OUT}/${name}.wasm)
    add_custom_command(OUTPUT ${output} ${CIS_GUEST_OUT}/${name}.wat
        COMMAND ${CIS_WAT2WASM} --debug-names ${source} -o ${output}
        COMMAND ${CMAKE_COMMAND} -E copy ${source} ${CIS_GUEST_OUT}/${name}.wat
        DEPENDS ${source} COMMENT "guest ${name}" VERBATIM)
    _cis_guest_target(${name} ${output})
endfunction()

# cis_guest_text(NAME): the text of a guest that was built, NAME.wat: a part of what a test writes.
function(cis_guest_text name)
    set(output ${CIS_GUEST_OUT}/${name}.wat)
    add_custom_command(OUTPUT ${output}
        COMMAND ${CIS_WASM2WAT} ${CIS_GUEST_OUT}/${name}.wasm -o ${output}
        DEPENDS ${CIS_GUEST_OUT}/${name}.wasm COMMENT "text of guest ${name}" VERBATIM)
    add_custom_target(guest_${name}_text DEPENDS ${output})
    add_dependencies(guest_${name}_text guest_${name})
    set_property(GLOBAL APPEND PROPERTY CIS_GUESTS ${name}_text)
endfunction()

# cis_guest_go(NAME dir [REACTOR]): nothing where there is no Go; CIS_HAVE_GO says so.
function(cis_guest_go name dir)
    cmake_parse_arguments(G "REACTOR" "" "" ${ARGN})
    if(NOT CIS_GO)
        return()
    endif()
    get_filename_component(dir ${dir} ABSOLUTE)
    file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.go ${dir}/go.mod)
    set(output ${CIS_GUEST_OUT}/${name}.wasm)
    set(mode)
    if(G_REACTOR)
        set(mode -buildmode=c-shared)
    endif()
    add_custom_command(OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -E env GOOS=wasip1 GOARCH=wasm GOFLAGS=-mod=mod GOTOOLCHAIN=local
                ${CIS_GO} build -trimpath ${mode} "-ldflags=-s -w" -o ${output} .
        WORKING_DIRECTORY ${dir} DEPENDS ${sources} COMMENT "guest ${name} (Go)" VERBATIM)
    _cis_guest_target(${name} ${output})
endfunction()
