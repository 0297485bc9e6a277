# build.cmake: makes web_page.c in BINARY from the sources in SOURCE. The packages are installed there too, again only
# after package-lock.json has changed. What fails here ends the build only where WANTED is not AUTO.
set(out ${BINARY}/web_page.c)

function(do_without what)
    if(NOT WANTED STREQUAL "AUTO")
        message(FATAL_ERROR "the chat page: ${what}")
    endif()
    message("puna: the chat page is left out: ${what}\n"
            "puna: all else works; to try again, run cmake and build once more")
    file(REMOVE ${BINARY}/page.html ${BINARY}/page.html.gz ${BINARY}/page.json)
    file(WRITE ${BINARY}/without "${what}\n")
    configure_file(${SOURCE}/../server/web_page_none.c ${out} COPYONLY)
    file(TOUCH ${out})
endfunction()

# the last lines of what a failed program said
function(last_words text out)
    string(STRIP "${text}" text)
    string(LENGTH "${text}" length)
    if(length GREATER 600)
        math(EXPR start "${length} - 600")
        string(SUBSTRING "${text}" ${start} -1 text)
    endif()
    set(${out} "${text}" PARENT_SCOPE)
endfunction()

file(SHA256 ${SOURCE}/package-lock.json lock)
set(installed "")
if(EXISTS ${BINARY}/node_modules/.lock)
    file(READ ${BINARY}/node_modules/.lock installed)
endif()
file(COPY ${SOURCE}/package.json ${SOURCE}/package-lock.json ${SOURCE}/.npmrc ${SOURCE}/build.mjs ${SOURCE}/tsconfig.json
     DESTINATION ${BINARY})
if(NOT installed STREQUAL lock)
    execute_process(COMMAND ${NPM} ci --prefer-offline --fetch-retries=1 --fetch-timeout=30000 --loglevel=error
                    WORKING_DIRECTORY ${BINARY} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said
                    TIMEOUT 300)
    if(NOT status EQUAL 0)
        last_words("${said}" said)
        do_without("npm ci failed (${status}): ${said}")
        return()
    endif()
    file(WRITE ${BINARY}/node_modules/.lock ${lock})
endif()

file(REMOVE_RECURSE ${BINARY}/src)
file(COPY ${SOURCE}/src DESTINATION ${BINARY})
execute_process(COMMAND ${NODE} build.mjs WORKING_DIRECTORY ${BINARY} RESULT_VARIABLE status
                OUTPUT_VARIABLE said ERROR_VARIABLE complaint TIMEOUT 120)
if(NOT status EQUAL 0)
    last_words("${complaint}" complaint)
    do_without("build.mjs failed (${status}): ${complaint}")
    return()
endif()
file(REMOVE ${BINARY}/without)
string(STRIP "${said}" said)
message("${said}")
