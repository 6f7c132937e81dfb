# The engine library: built once per user by tools/build-engine.sh when the tree is configured, or
# given ready-made, so that a C developer needs no Rust:
#   -DCIS_ENGINE_PREFIX=DIR   a prefix as that script prints it
# Defines the imported target cis_engine_lib. Only src/engine links it.
set(CIS_ENGINE_PREFIX "" CACHE PATH "ready-made engine (lib/libcis_engine.a, include/); empty: build it")

if(CIS_ENGINE_PREFIX)
    set(_cis_engine ${CIS_ENGINE_PREFIX})
else()
    # A change of the glue configures again, which builds the engine that belongs to it.
    file(GLOB_RECURSE _cis_engine_inputs CONFIGURE_DEPENDS
        ${CMAKE_SOURCE_DIR}/engine/src/*.rs ${CMAKE_SOURCE_DIR}/engine/include/*.h)
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
        ${_cis_engine_inputs} ${CMAKE_SOURCE_DIR}/engine/Cargo.toml ${CMAKE_SOURCE_DIR}/engine/Cargo.lock
        ${CMAKE_SOURCE_DIR}/tools/build-engine.sh)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/build-engine.sh
        OUTPUT_VARIABLE _cis_engine OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _cis_engine_failed)
    if(_cis_engine_failed)
        message(FATAL_ERROR "the engine could not be built (see above)")
    endif()
endif()
if(NOT EXISTS ${_cis_engine}/lib/libcis_engine.a OR NOT EXISTS ${_cis_engine}/include/cis_head.h)
    message(FATAL_ERROR "${_cis_engine} is no engine prefix: lib/libcis_engine.a or include/cis_head.h is missing")
endif()
message(STATUS "Engine: ${_cis_engine}")

add_library(cis_engine_lib STATIC IMPORTED GLOBAL)
set_target_properties(cis_engine_lib PROPERTIES
    IMPORTED_LOCATION ${_cis_engine}/lib/libcis_engine.a
    INTERFACE_INCLUDE_DIRECTORIES ${_cis_engine}/include)
target_link_libraries(cis_engine_lib INTERFACE Threads::Threads dl m)
set(CIS_ENGINE_LICENSE ${_cis_engine}/share/licenses/wasmtime/LICENSE)
