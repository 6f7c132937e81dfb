# cmake -DSCRIPT=tools/build-shell.sh -DOUT=DIR: DIR/cis-shell.wasm, or DIR/missing, which says why not.
execute_process(COMMAND ${SCRIPT} OUTPUT_VARIABLE module OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE failed)
file(REMOVE ${OUT}/cis-shell.wasm ${OUT}/missing)
if(failed EQUAL 77)
    file(WRITE ${OUT}/missing "the Rust at hand has no standard library for wasm32-wasip1\n")
    message(STATUS "`cis shell` is left out: see above")
elseif(failed)
    message(FATAL_ERROR "the shell's interpreter could not be built (see above)")
else()
    file(COPY_FILE ${module} ${OUT}/cis-shell.wasm)
endif()
file(TOUCH ${OUT}/.built)
