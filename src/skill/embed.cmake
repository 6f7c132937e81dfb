# cmake -DFILES="name=path;…" -DOUT=… -P embed.cmake: each file as one row {name, text} for new.c.
set(rows "")
foreach(pair ${FILES})
    string(REGEX MATCH "^([^=]+)=(.*)$" _ "${pair}")
    set(name ${CMAKE_MATCH_1})
    file(READ ${CMAKE_MATCH_2} hex HEX)
    string(REGEX REPLACE "(..)" "\\\\x\\1" text "${hex}")
    # Short literals, so that no compiler's limit for one is met.
    string(REGEX REPLACE "((\\\\x..)(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?)"
        "\"\\1\"\n    " text "${text}")
    string(APPEND rows "{\"${name}\",\n    ${text}},\n")
endforeach()
file(WRITE ${OUT} "${rows}")
