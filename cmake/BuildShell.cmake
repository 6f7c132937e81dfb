# cmake -DSCRIPT=tools/build-shell.sh -DOUT=DIR: DIR/cis-shell.wasm, or DIR/missing, which says why not.
execute_process(COMMAND ${SCRIPT} OUTPUT_VARIABLE module OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE failed)
file(REMOVE ${OUT}/cis-shell.wasm ${OUT}/missing ${OUT}/.built)
set(why_77 "wasip1\tRust has no standard library for wasm32-wasip1\n")
set(why_78 "sources\tthe crates of its interpreter could not be had\n")
if(DEFINED why_${failed})
    file(WRITE ${OUT}/missing "${why_${failed}}")
    message(STATUS "`cis shell` is left out: see above") # the next build tries again
elseif(failed)
    message(FATAL_ERROR "the shell's interpreter could not be built (see above)")
else()
    file(COPY_FILE ${module} ${OUT}/cis-shell.wasm)
    file(TOUCH ${OUT}/.built)
endif()
