/* web_page_none.c: the program without the chat page. */
#include "web_page.h"

const unsigned char pn_web_page[1] = {0};
const size_t pn_web_page_bytes = 0;
const char pn_web_page_etag[] = "\"none\"";
const char pn_web_page_csp[] = "default-src 'none'";
