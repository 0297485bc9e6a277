/* formats.h: the header of every tensor type that has kernels, for those who make a table of
 * them all: fmt.c and the matrix kernels. */
#ifndef PN_FMT_FORMATS_H
#define PN_FMT_FORMATS_H

#include "fmt/bf16.h"
#include "fmt/f16.h"
#include "fmt/f32.h"
#include "fmt/iq4_nl.h"
#include "fmt/iq4_xs.h"
#include "fmt/q2_k.h"
#include "fmt/q3_k.h"
#include "fmt/q4_0.h"
#include "fmt/q4_1.h"
#include "fmt/q4_k.h"
#include "fmt/q5_0.h"
#include "fmt/q5_1.h"
#include "fmt/q5_k.h"
#include "fmt/q6_k.h"
#include "fmt/q8_0.h"

#endif
