/* web_page.h: the chat page, one HTML file that is complete in itself, compressed with gzip and built in
 * (CMake option PUNA_WEB). Without it web_page_none.c has a page of 0 bytes. */
#ifndef PUNA_SERVER_WEB_PAGE_H
#define PUNA_SERVER_WEB_PAGE_H

#include <stddef.h>

extern const unsigned char pn_web_page[];
extern const size_t pn_web_page_bytes;
extern const char pn_web_page_etag[]; /* in its quotes */
extern const char
    pn_web_page_csp[]; /* Content-Security-Policy: the hashes of its script and style */

#endif
