# cmake -DTOOL=gen_help -DPAGES=a.md;b.md -DOUT=FILE -P GenerateHelp.cmake: a page that is wrong leaves no file.
execute_process(COMMAND ${TOOL} ${PAGES} OUTPUT_FILE ${OUT}.part RESULT_VARIABLE failed)
if(failed)
    file(REMOVE ${OUT}.part)
    message(FATAL_ERROR "docs/man: a page is not of the form that tools/gen_help.c describes")
endif()
file(RENAME ${OUT}.part ${OUT})
