import { render } from "preact";
render(<h1>puna</h1>, document.getElementById("app")!);
